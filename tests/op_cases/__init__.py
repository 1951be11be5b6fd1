"""Random cases for every operation: inputs and attributes, sizes on both sides of every tile edge.

`case("conv2d", 17)` is always the same case, so the number in a failure's message ("conv2d case 17") brings it back.
A file a kind of operation, named as in `reference`; each registers its generators with `pieces.generator`.
"""

from . import (
    activations,
    conv,
    dense,
    depthwise_conv,
    elementwise,
    loss,
    norm,
    optimizer,
    pool,
    preprocess,
    randomness,
    shape,
)
from .conv import convolution, out_size, pooled_convolution, pooled_gradient
from .depthwise_conv import depthwise, expansion_gradient, pointwise_depthwise
from .elementwise import shape_attributes
from .pieces import GENERATORS, Case, activation_attributes, case, channels, integers, normal
