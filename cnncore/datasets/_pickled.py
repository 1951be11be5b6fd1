"""Read the pickles of the CIFAR Python version without unpickling them.

A pickle is a program for a stack machine, and its language can import and call any function. This is a machine
for the part of the language that Python 2 wrote for a dictionary of lists, numbers, strings and arrays of bytes
(protocol 2). Three names may occur, those that NumPy uses to write an array; they are stand-ins here, nothing
is imported and nothing is called. Every other opcode or name is refused. The file's size and the number of
opcodes are limited, and with them time and memory.
"""

import struct

import numpy as np

from ._files import damaged

MAX_FILE_BYTES = 1 << 28  # the largest genuine file has 155 million bytes
MAX_OPCODES = 1 << 20  # the largest genuine file has about 200,000

_RECONSTRUCT, _NDARRAY, _DTYPE = object(), object(), object()
_GLOBALS = {
    b"numpy.core.multiarray\n_reconstruct\n": _RECONSTRUCT,
    b"numpy\nndarray\n": _NDARRAY,
    b"numpy\ndtype\n": _DTYPE,
}


def read(path):
    """Read one file.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    dict
        str to bytes, int, bool, None, list, tuple, dict or uint8 `numpy.ndarray` (read-only).

    Raises
    ------
    ValueError
        If the file is damaged, too large, or asks for anything but plain data.
    """
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise damaged(path, f"a pickle of the data set must have at most {MAX_FILE_BYTES} bytes", size)
    try:
        return _Machine(path.read_bytes()).run()
    except _Refused as refusal:
        raise damaged(path, refusal.rule, refusal.got) from None


class _Refused(Exception):
    """The program breaks a rule."""

    def __init__(self, rule, got):
        super().__init__(rule, got)
        self.rule, self.got = rule, got


class _Uint8:
    """Stand-in for ``numpy.dtype("u1")``."""


class _Array:
    """Stand-in for an array: empty when it is constructed, filled by the BUILD that follows."""

    array = None


def _expect(condition, rule, got):
    if not condition:
        raise _Refused(rule, got)


class _Machine:
    """The stack machine. Messages show types and numbers, never nested values: those can be made to print for ever."""

    def __init__(self, program):
        self.program = program
        self.position = 0
        self.stack = []
        self.marks = []  # heights of the stack
        self.memo = {}

    def run(self):
        start = self.program[:2]
        _expect(start == b"\x80\x02", "it must begin as a pickle of protocol 2", start.hex() or "an empty file")
        self.position = 2
        for _ in range(MAX_OPCODES):
            opcode = self.take(1)
            if opcode == b".":
                break
            operation = _OPERATIONS.get(opcode)
            if operation is None:
                raise _Refused("only plain data may be in it (nothing was executed)", f"opcode 0x{opcode.hex()}")
            operation(self)
        else:
            raise _Refused(f"it must have fewer than {MAX_OPCODES} opcodes", "more")
        result = self.pop()
        _expect(type(result) is dict and not self.stack, "it must hold one dictionary", type(result).__name__)
        return {key.decode("latin-1"): getattr(value, "array", value) for key, value in result.items()}

    def take(self, count):
        piece = self.program[self.position : self.position + count]
        _expect(len(piece) == count, f"{count} bytes must follow byte {self.position}", len(piece))
        self.position += count
        return piece

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def push(self, value):
        self.stack.append(value)

    def pop(self):
        bottom = self.marks[-1] if self.marks else 0
        _expect(len(self.stack) > bottom, "every opcode must find its operands", "an empty stack")
        return self.stack.pop()

    def pop_to_mark(self):
        _expect(self.marks, "every opcode must find its operands", "no mark on the stack")
        height = self.marks.pop()
        items = self.stack[height:]
        del self.stack[height:]
        return items

    def top(self, kind):
        value = self.pop()
        rule = f"the operand at byte {self.position} must be a {kind.__name__}"
        _expect(type(value) is kind, rule, type(value).__name__)
        self.stack.append(value)
        return value

    def mark(self):
        self.marks.append(len(self.stack))

    def string(self, form):
        count = self.number(form)
        _expect(count >= 0, "a string's length must not be negative", count)
        self.push(self.take(count))

    def tuple_of(self, count):
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def set_items(self, items):
        target = self.top(dict)
        _expect(len(items) % 2 == 0, "a dictionary's items must come in pairs", f"{len(items)} values")
        for key, value in zip(items[::2], items[1::2]):
            _expect(type(key) is bytes, "a dictionary's keys must be strings", type(key).__name__)
            target[key] = value

    def set_item(self):
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def append_items(self, items):
        self.top(list).extend(items)

    def put(self, form):
        index = self.number(form)
        value = self.pop()
        self.push(value)
        self.memo[index] = value

    def get(self, form):
        index = self.number(form)
        _expect(index in self.memo, "every value recalled must have been stored", f"number {index}")
        self.push(self.memo[index])

    def global_name(self):
        start = self.position
        for name, stand_in in _GLOBALS.items():
            if self.program.startswith(name, start):
                self.position = start + len(name)
                self.push(stand_in)
                return
        name = ".".join(self.program[start : start + 80].decode("latin-1").split("\n")[:2])
        raise _Refused("only arrays and plain data may be in it (nothing was executed)", f"the name {name!r}")

    def call(self):
        self.top(tuple)
        arguments, function = self.pop(), self.pop()
        if function is _RECONSTRUCT:
            _expect(len(arguments) == 3 and arguments[0] is _NDARRAY, "an array must be an ndarray", "another type")
            self.push(_Array())
        elif function is _DTYPE:
            code = arguments[0] if arguments else None
            _expect(type(code) is bytes and code == b"u1", "an array's elements must be uint8", "another type")
            self.push(_Uint8())
        else:
            raise _Refused("only NumPy's arrays may be constructed (nothing was executed)", type(function).__name__)

    def build(self):
        self.top(tuple)
        state, target = self.pop(), self.pop()
        if type(target) is _Array:
            target.array = _array(state)
        else:
            _expect(type(target) is _Uint8, "only an array may be given a state", type(target).__name__)
        self.push(target)


def _array(state):
    """The array that NumPy's state (version, shape, element type, column-major?, bytes) describes."""
    types = tuple(type(part) for part in state)
    _expect(types == (int, tuple, _Uint8, bool, bytes), "an array's state must be NumPy's", "another tuple")
    _, shape, _, is_fortran, content = state
    _expect(len(shape) <= 4, "an array must have at most 4 dimensions", len(shape))
    _expect(all(type(n) is int and n > 0 for n in shape), "an array's shape must be positive integers", "others")
    count = 1
    for n in shape:
        count *= n
    _expect(count == len(content), f"an array of {count} elements must have as many bytes", len(content))
    return np.frombuffer(content, np.uint8).reshape(shape, order="F" if is_fortran else "C")


_OPERATIONS = {
    b"(": _Machine.mark,  # MARK
    b"}": lambda machine: machine.push({}),  # EMPTY_DICT
    b"]": lambda machine: machine.push([]),  # EMPTY_LIST
    b")": lambda machine: machine.push(()),  # EMPTY_TUPLE
    b"N": lambda machine: machine.push(None),  # NONE
    b"\x88": lambda machine: machine.push(True),  # NEWTRUE
    b"\x89": lambda machine: machine.push(False),  # NEWFALSE
    b"K": lambda machine: machine.push(machine.number("<B")),  # BININT1
    b"M": lambda machine: machine.push(machine.number("<H")),  # BININT2
    b"J": lambda machine: machine.push(machine.number("<i")),  # BININT
    b"U": lambda machine: machine.string("<B"),  # SHORT_BINSTRING
    b"T": lambda machine: machine.string("<i"),  # BINSTRING
    b"t": lambda machine: machine.push(tuple(machine.pop_to_mark())),  # TUPLE
    b"\x85": lambda machine: machine.tuple_of(1),  # TUPLE1
    b"\x86": lambda machine: machine.tuple_of(2),  # TUPLE2
    b"\x87": lambda machine: machine.tuple_of(3),  # TUPLE3
    b"a": lambda machine: machine.append_items([machine.pop()]),  # APPEND
    b"e": lambda machine: machine.append_items(machine.pop_to_mark()),  # APPENDS
    b"s": _Machine.set_item,  # SETITEM
    b"u": lambda machine: machine.set_items(machine.pop_to_mark()),  # SETITEMS
    b"q": lambda machine: machine.put("<B"),  # BINPUT
    b"r": lambda machine: machine.put("<I"),  # LONG_BINPUT
    b"h": lambda machine: machine.get("<B"),  # BINGET
    b"j": lambda machine: machine.get("<I"),  # LONG_BINGET
    b"c": _Machine.global_name,  # GLOBAL
    b"R": _Machine.call,  # REDUCE
    b"b": _Machine.build,  # BUILD
}
