# The table of operations, and what shapes they give.

class Operation:
    """One row of the table of operations: its number, name, summary, operand names and attributes."""
    __slots__ = ("number", "name", "summary", "inputs", "outputs", "attributes", "positions", "defaults")

    def __init__(self, int number):
        self.number = number
        self.name = cnn_op_name(number).decode()
        self.summary = cnn_op_summary(number).decode()
        self.inputs = tuple(cnn_op_inputs(number).decode().split())
        self.outputs = tuple(cnn_op_outputs(number).decode().split())
        self.attributes = {}
        cdef const cnn_attr_def *a = cnn_op_attributes(number)
        while a.name != NULL:
            self.attributes[a.name.decode()] = ("int" if a.type == CNN_INT else "float", a.default_value)
            a += 1
        self.positions = {name: i for i, name in enumerate(self.attributes)}
        self.defaults = tuple(default for _, default in self.attributes.values())

    def values(self, attributes):
        """All attribute values in the table's order, defaults filled in. Raises ValueError for an unknown name."""
        if not attributes:
            return self.defaults
        values = list(self.defaults)
        for name, value in attributes.items():
            position = self.positions.get(name)
            if position is None:
                known = ", ".join(self.attributes) or "none"
                raise ValueError(f"{self.name}: there is no attribute {name!r}; it has {known}")
            values[position] = float(value)
        return tuple(values)


OPERATIONS = {op.name: op for op in (Operation(i) for i in range(cnn_op_count()))}
_by_number = tuple(OPERATIONS.values())


def op_table():
    """The operations: name -> {"summary", "inputs", "outputs", "attributes": {name: (type, default)}}."""
    return {op.name: {"summary": op.summary, "inputs": op.inputs, "outputs": op.outputs,
                      "attributes": dict(op.attributes)}
            for op in OPERATIONS.values()}


cdef int fill_tensor(cnn_tensor *t, dtype, shape) except -1:
    cdef int i, rank = len(shape)
    if rank > CNN_MAX_RANK:
        raise ValueError(f"a tensor has at most {CNN_MAX_RANK} dimensions, got shape {tuple(shape)}")
    memset(t, 0, sizeof(cnn_tensor))
    t.dtype = _dtype_number[dtype]
    t.rank = rank
    for i in range(rank):
        t.dims[i] = shape[i]
    return 0


cdef tuple shape_of(const cnn_tensor *t):
    return tuple([t.dims[i] for i in range(t.rank)])


cdef struct operands:
    double *attributes
    cnn_tensor *tensors
    const cnn_tensor **inputs


def infer(operation, inputs, attributes, int n_outputs):
    """The (dtype, shape) of every output; None for an output that does not exist for these inputs.

    operation: an Operation; inputs: (dtype, shape) pairs or None; attributes: values in the table's order.
    """
    cdef int n = len(inputs), i
    cdef cnn_error error
    cdef cnn_tensor *tensors = <cnn_tensor *>malloc((n + n_outputs + 1) * sizeof(cnn_tensor))
    cdef const cnn_tensor **pointers = <const cnn_tensor **>malloc((n + 1) * sizeof(void *))
    cdef double *values = <double *>malloc((len(attributes) + 1) * sizeof(double))
    try:
        if tensors == NULL or pointers == NULL or values == NULL:
            raise MemoryError()
        for i in range(n):
            pointers[i] = NULL
            if inputs[i] is not None:
                fill_tensor(&tensors[i], inputs[i][0], inputs[i][1])
                pointers[i] = &tensors[i]
        for i in range(len(attributes)):
            values[i] = attributes[i]
        if cnn_op_infer(operation.number, pointers, n, values, tensors + n, n_outputs, &error):
            raise ValueError(error.text.decode())
        return [(DTYPES[tensors[n + i].dtype], shape_of(&tensors[n + i])) if tensors[n + i].rank else None
                for i in range(n_outputs)]
    finally:
        free(tensors)
        free(pointers)
        free(values)
