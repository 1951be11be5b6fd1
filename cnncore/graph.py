"""The symbolic graph that users build: tensors without values, and the calls of layers that connect them."""


class Tensor:
    """The symbolic result of calling a layer: a shape, a type and where it comes from. It holds no numbers.

    Attributes
    ----------
    shape : tuple
        The first dimension is None: the number of images in a batch.
    dtype : str
        "float32", or "uint8" for an input of bytes.
    name : str
    call : Call
        The call of a layer that it is a result of.
    index : int
        Which result of that call.
    """

    __slots__ = ("shape", "dtype", "name", "call", "index")

    def __init__(self, shape, dtype, name, call=None, index=0):
        self.shape, self.dtype, self.name, self.call, self.index = tuple(shape), dtype, name, call, index

    @property
    def ndim(self):
        return len(self.shape)

    def __repr__(self):
        return f"<Tensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"

    def _no_value(self, *_):
        raise TypeError(
            f'tensor "{self.name}" is symbolic and has no value; build a Model from its inputs to it and call predict()'
        )

    __array__ = __bool__ = __float__ = __len__ = __iter__ = _no_value


class Call:
    """One call of a layer: which tensors went in and came out, and whether the caller fixed `training`."""

    __slots__ = ("layer", "inputs", "outputs", "training")

    def __init__(self, layer, inputs, training):
        self.layer, self.inputs, self.training, self.outputs = layer, inputs, training, []


def flatten(structure):
    """A tensor, or a list, tuple or dict of tensors, as a flat list."""
    if structure is None:
        return []
    if isinstance(structure, (list, tuple)):
        return [leaf for part in structure for leaf in flatten(part)]
    if isinstance(structure, dict):
        return [leaf for part in structure.values() for leaf in flatten(part)]
    return [structure]


def calls_between(inputs, outputs, owner):
    """The calls that lead from `inputs` to `outputs`, producers first. Raises ValueError where an output does not
    follow from the inputs.
    """
    known, order, done = set(map(id, inputs)), [], set()
    for output in outputs:
        stack = [output]
        while stack:
            tensor = stack[-1]
            call = tensor.call
            if id(tensor) in known or (call is not None and id(call) in done):
                stack.pop()
                continue
            if call is None or not call.inputs:
                raise ValueError(
                    f'{owner}: the output "{output.name}" depends on the input "{tensor.name}", which is not '
                    "among the inputs "
                    f"({', '.join(t.name for t in inputs) or 'none'}); add it to inputs"
                )
            waiting = [t for t in call.inputs if id(t) not in known and not (t.call is not None and id(t.call) in done)]
            if waiting:
                stack += reversed(waiting)
            else:
                done.add(id(call))
                order.append(call)
                stack.pop()
    return order
