"""Layers of several inputs: sums, products, concatenation."""

import numbers

from .base import Layer


class _Merge(Layer):
    """A chain of a two-operand operation over all inputs. Shapes broadcast as in NumPy."""

    operation = None

    def build(self, *shapes):
        if len(shapes) < 2:
            raise ValueError(f'layer "{self.name}": needs a list of at least 2 inputs, got {len(shapes)}')
        sizes = [s[1:] for s in shapes]
        for i in range(1, max(map(len, sizes)) + 1):
            dims = {s[-i] for s in sizes if len(s) >= i and s[-i] != 1}
            if len(dims) > 1 or len({len(s) for s in sizes}) > 1:
                raise ValueError(
                    f'layer "{self.name}": inputs must have equal shapes, or 1 where they differ, got '
                    f"{', '.join(map(str, shapes))}"
                )

    def lower(self, b, *values):
        result = values[0]
        for value in values[1:]:
            result = b.op(self.operation, [result, value])
        return result


class Add(_Merge):
    """The sum of its inputs."""

    operation = "add"


class Multiply(_Merge):
    """The product of its inputs, element by element."""

    operation = "multiply"


class Subtract(_Merge):
    """The first input minus the second."""

    operation = "subtract"

    def build(self, *shapes):
        if len(shapes) != 2:
            raise ValueError(f'layer "{self.name}": needs exactly 2 inputs, got {len(shapes)}')
        super().build(*shapes)


class Average(_Merge):
    """The mean of its inputs."""

    operation = "add"

    def lower(self, b, *values):
        return b.op("affine", [super().lower(b, *values)], scale=1.0 / len(values))


class Maximum(_Merge):
    """The largest of its inputs, element by element. Where two are equal, each gets half of the gradient."""

    operation = "maximum"


class Minimum(_Merge):
    """The smallest of its inputs, element by element. Where two are equal, each gets half of the gradient."""

    operation = "minimum"


class Concatenate(Layer):
    """Its inputs side by side along an axis.

    Parameters
    ----------
    axis : int
        Not the batch's; default -1, the channels.
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(axis, numbers.Integral) or axis == 0:
            raise ValueError(
                f'Concatenate "{self.name}": axis must be an integer other than 0, the batch, got {axis!r}'
            )
        self.axis = int(axis)

    def build(self, *shapes):
        rank = len(shapes[0])
        axis = self.axis + rank if self.axis < 0 else self.axis
        if not 0 < axis < rank:
            raise ValueError(f'layer "{self.name}": axis {self.axis} is not one of inputs of shape {shapes[0]}')
        if len({s[:axis] + s[axis + 1 :] for s in shapes}) > 1:
            raise ValueError(
                f'layer "{self.name}": inputs must have equal shapes but for axis {self.axis}, got '
                f"{', '.join(map(str, shapes))}"
            )

    def lower(self, b, *values):
        rank = len(values[0].shape)
        return b.op("concat", list(values), axis=self.axis % rank) if len(values) > 1 else values[0]

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}


def _function(cls):
    def call(inputs, **kwargs):
        return cls(**kwargs)(inputs)

    call.__name__ = call.__qualname__ = cls.__name__.lower()
    call.__doc__ = f"``{cls.__name__}(**kwargs)(inputs)``: {cls.__doc__.splitlines()[0]}"
    return call


add, multiply, subtract, average, maximum, minimum, concatenate = map(
    _function, (Add, Multiply, Subtract, Average, Maximum, Minimum, Concatenate)
)
