"""An independent float64 NumPy reference for every operation of the engine.

Each function has its operation's name, its inputs in order (None for one that is left out) and its attributes as
keywords, and returns its output, or a tuple of all its outputs. Floating inputs are taken to float64; nothing is
optimised, nothing is shared with the engine. `run` calls one by name.
"""

import numpy as np

from .activations import activation, activation_backward, softmax, softmax_backward
from .conv import (
    batchnorm_conv2d,
    batchnorm_conv2d_backward_weight,
    batchnorm_depthwise_conv2d,
    batchnorm_depthwise_conv2d_backward,
    conv2d,
    conv2d_backward_input,
    conv2d_backward_weight,
    conv2d_max_pool2d,
    conv2d_max_pool2d_backward_weight,
    conv2d_transpose,
    depthwise_conv2d,
    depthwise_conv2d_backward_input,
    depthwise_conv2d_backward_weight,
    expanded_depthwise_conv2d,
    expanded_depthwise_conv2d_backward,
    expansion_moments,
    pointwise_conv2d_backward,
    pointwise_depthwise_conv2d,
)
from .dense import dense, dense_backward_input, dense_backward_weight
from .elementwise import (
    add,
    affine,
    dropout,
    fill,
    gaussian_noise,
    maximum,
    maximum_backward,
    minimum,
    minimum_backward,
    multiply,
    reduce_sum_to,
    reshape,
    subtract,
)
from .loss import (
    absolute_error,
    absolute_error_backward,
    binary_cross_entropy,
    binary_cross_entropy_backward,
    categorical_cross_entropy,
    categorical_cross_entropy_backward,
    clip_scale,
    correct,
    l1_l2_backward,
    l1_l2_penalty,
    sigmoid_cross_entropy,
    sigmoid_cross_entropy_backward,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
    squared_error,
    squared_error_backward,
    sum_of_squares,
    weighted_mean,
    weighted_mean_backward,
)
from .norm import (
    batchnorm,
    batchnorm_backward,
    batchnorm_backward_constants,
    batchnorm_constants,
    batchnorm_fold,
    batchnorm_moments,
    moving_average,
)
from .optimizer import adam, sgd
from .pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward, max_pool2d_places
from .preprocess import arctan, arctan_backward, log, log_backward, replace_nan, standardize, standardize_backward
from .shape import concat, crop2d, pad2d, slice, upsample2d, upsample2d_backward

OPS = {
    function.__name__: function
    for function in (
        conv2d,
        conv2d_backward_input,
        conv2d_backward_weight,
        conv2d_max_pool2d,
        conv2d_max_pool2d_backward_weight,
        conv2d_transpose,
        depthwise_conv2d,
        depthwise_conv2d_backward_input,
        depthwise_conv2d_backward_weight,
        pointwise_depthwise_conv2d,
        batchnorm_depthwise_conv2d,
        batchnorm_depthwise_conv2d_backward,
        expansion_moments,
        expanded_depthwise_conv2d,
        expanded_depthwise_conv2d_backward,
        batchnorm_conv2d,
        batchnorm_conv2d_backward_weight,
        pointwise_conv2d_backward,
        batchnorm_constants,
        batchnorm_backward_constants,
        dense,
        dense_backward_input,
        dense_backward_weight,
        max_pool2d,
        max_pool2d_backward,
        avg_pool2d,
        avg_pool2d_backward,
        batchnorm_moments,
        batchnorm,
        batchnorm_backward,
        batchnorm_fold,
        moving_average,
        activation,
        activation_backward,
        softmax,
        softmax_backward,
        add,
        subtract,
        multiply,
        maximum,
        minimum,
        maximum_backward,
        minimum_backward,
        reduce_sum_to,
        affine,
        concat,
        slice,
        pad2d,
        crop2d,
        upsample2d,
        upsample2d_backward,
        reshape,
        fill,
        dropout,
        gaussian_noise,
        log,
        log_backward,
        arctan,
        arctan_backward,
        replace_nan,
        standardize,
        standardize_backward,
        softmax_cross_entropy,
        softmax_cross_entropy_backward,
        categorical_cross_entropy,
        categorical_cross_entropy_backward,
        sigmoid_cross_entropy,
        sigmoid_cross_entropy_backward,
        binary_cross_entropy,
        binary_cross_entropy_backward,
        squared_error,
        squared_error_backward,
        absolute_error,
        absolute_error_backward,
        weighted_mean,
        weighted_mean_backward,
        l1_l2_penalty,
        l1_l2_backward,
        correct,
        sum_of_squares,
        clip_scale,
        sgd,
        adam,
    )
}


def run(name, inputs, attributes, outputs=None):
    """The outputs of operation `name` as a list; `outputs` (a tuple of bools) keeps those asked for, None keeps all."""
    result = OPS[name](*inputs, **attributes)
    result = list(result) if isinstance(result, tuple) else [np.asarray(result)]
    return result if outputs is None else [value for value, wanted in zip(result, outputs) if wanted]
