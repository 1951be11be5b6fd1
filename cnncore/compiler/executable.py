"""An executable: a graph turned into a program of the engine, with the memory that it runs on."""

import functools
from _thread import RLock  # what threading offers, without half a millisecond of importing it
from math import prod

import numpy as np

from .. import _core

# Numbers of the storages: the engine's two, then ours. Inputs and outputs are numbered from INPUTS and OUTPUTS.
STORAGES = {"parameters": 2, "state": 3, "gradients": 4, "slot0": 5, "slot1": 6, "slot2": 7, "hyper": 8, "results": 9}
INPUTS, OUTPUTS = 16, 40


@functools.cache
def storage_number(name):
    """The number of a storage: "parameters", ..., "input0", "output3"."""
    if name in STORAGES:
        return STORAGES[name]
    for prefix, first, last in (("input", INPUTS, OUTPUTS), ("output", OUTPUTS, _core.MAX_STORAGES)):
        if name.startswith(prefix):
            number = first + int(name[len(prefix) :])
            if number < last:
                return number
            raise ValueError(
                f"a model has at most {last - first} {prefix}s of a program, targets and sample weights included"
            )
    raise ValueError(f"there is no storage {name!r}")


class Arena:
    """Memory for what lives within a run, shared by the programs of a model, which run one at a time."""

    def __init__(self):
        self.lock = RLock()
        self.memory = None

    def at_least(self, nbytes):
        """The memory, of at least `nbytes` bytes: it grows when a larger program comes."""
        if self.memory is None or self.memory.nbytes < nbytes:
            self.memory = None  # let go of the old one first
            self.memory = _core.Memory(max(nbytes, _core.ALIGNMENT))
        return self.memory

    @property
    def nbytes(self):
        return self.memory.nbytes if self.memory else 0


class Executable:
    """A planned program and its bindings.

    Parameters
    ----------
    graph : Graph
        Ordered.
    arena : Arena
    samples : int
        How many one run takes.
    reuse_memory : bool
        Let values that never live at the same time share memory.
    """

    def __init__(self, graph, arena, samples, reuse_memory=True):
        self._arena = arena
        self.samples = samples
        self._program = program = _core.Program()
        self.layers = [operation.layer or "" for operation in graph.operations]
        numbers = {}

        def number(value):
            if value is None:
                return _core.ABSENT
            if value not in numbers:  # what has no producer, or a place in a storage
                numbers[value] = program.tensor(storage_number(value.storage), value.dtype, value.shape, value.offset)
            return numbers[value]

        for operation in graph.operations:
            in_place = any(
                operation.inputs and value in operation.inputs for value in operation.outputs if value is not None
            )
            targets = [
                _core.UNWANTED if v is None else number(v) if v.storage is not None or in_place else _core.ABSENT
                for v in operation.outputs
            ]
            try:
                made = program.op(
                    operation.definition,
                    operation.section,
                    [number(v) for v in operation.inputs],
                    operation.definition.values(operation.attributes),
                    targets,
                )
            except ValueError as error:
                raise ValueError(f'layer "{operation.layer}": {error}' if operation.layer else str(error)) from None
            for value, identity in zip(operation.outputs, made):
                if value is not None:
                    numbers[value] = identity
        for value in graph.results:
            if value.storage is None:
                program.keep(numbers[value])
        self._numbers = numbers
        self.tensor_names = {identity: value.name for value, identity in numbers.items() if value.name}
        program.plan(reuse_memory=reuse_memory)
        self.operations = program.operations()
        program.bind(_core.PREPARED, [_core.Memory(max(program.prepared_bytes, _core.ALIGNMENT))])
        self.prepared_version = None  # the version of the weights that the prepared memory was made from

    def bind(self, storage, array):
        """Let a storage be the memory of a contiguous array, until it is bound again."""
        self._program.bind(storage_number(storage), [array])

    def bound_bytes(self, storage):
        """Bytes of the array that a storage is, 0 where there is none."""
        array = self._program.bound(storage_number(storage))
        return 0 if array is None else array.nbytes

    def bind_arrays(self, inputs, outputs):
        """Let the storages "input0", ... and "output0", ... be these contiguous arrays, until others are bound."""
        self._program.bind(INPUTS, inputs)
        self._program.bind(OUTPUTS, outputs)

    def run(self, threads=0, sections=_core.COMPUTE, seed=0, step=0, seconds=None):
        """Run sections of the program in one call, without the GIL. KeyboardInterrupt leaves the update section
        undone.
        """
        with self._arena.lock:
            threads = threads or _core.get_threads()
            arena = self._arena.at_least(self._program.arena_bytes(threads))
            self._program.run(arena, threads, sections, seed, step, seconds)

    def array(self, value):
        """A copy of a result of the graph, or of what lies in a bound storage, after a run."""
        with self._arena.lock:
            if value.storage is not None:
                memory, offset = self._program.bound(storage_number(value.storage)), value.offset
            else:
                memory, offset = self._arena.memory, self.tensor(self._numbers[value])[3]
            return np.frombuffer(memory, value.dtype, prod(value.shape), offset).reshape(value.shape).copy()

    @property
    def updates(self):
        """How many runs have done their update section."""
        return self._program.updates

    def arena_bytes(self, threads=None):
        """Bytes of the memory that one run needs."""
        return self._program.arena_bytes(threads or _core.get_threads())

    @property
    def prepared_bytes(self):
        """Bytes of packed and folded weights."""
        return self._program.prepared_bytes

    def tensor(self, number):
        """(storage, dtype, shape, offset in bytes) of a tensor of the program."""
        return self._program.tensor_info(number)
