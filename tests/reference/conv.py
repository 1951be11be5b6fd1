"""Convolutions: a sum over kernel taps of matrix products, and its two adjoints.

Letters: n image, h w input pixel, p q output pixel, i j kernel tap, c input channel, o output channel, g group,
m channel multiplier.
Cross-correlation: y[n,p,q,o] = sum_{i,j,c} x[n, p s - pad + i d, q s - pad + j d, c] w[i,j,c,o].
"""

import numpy as np

from .activations import activate, gradient_epilogue
from .norm import batchnorm_backward_constants, normalised_residual
from .pool import max_pool2d, max_pool2d_backward
from .window import Window, f64


def _grouped(x, groups):
    """(..., channels) as (..., groups, channels/groups): a group's channels are adjacent."""
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def conv2d(
    x,
    w,
    bias=None,
    residual=None,
    *,
    activation=0,
    alpha=0.0,
    max_value=np.inf,
    x_scale=1.0,
    x_offset=0.0,
    **geometry,
):
    """y = act(conv(x x_scale + x_offset, w) + bias + residual), and the biased moments of y over n, p, q.

    Returns (y, mean, var).
    """
    x, w, window = f64(x) * x_scale + x_offset, f64(w), Window(**geometry)
    g = window.groups
    out_h, out_w = window.out_size(*x.shape[1:3])
    kernel = w.reshape(*w.shape[:3], g, w.shape[3] // g)  # i j c g o
    y = np.zeros((x.shape[0], out_h, out_w, g, w.shape[3] // g))
    for i, j, view in window.taps(window.pad(x), out_h, out_w):
        y += np.einsum("npqgc,cgo->npqgo", _grouped(view, g), kernel[i, j])
    y = y.reshape(*y.shape[:3], -1)
    if bias is not None:
        y = y + f64(bias)
    if residual is not None:
        y = y + f64(residual)
    y = activate(y, activation=activation, alpha=alpha, max_value=max_value)
    return y, y.mean(axis=(0, 1, 2)), y.var(axis=(0, 1, 2))


def conv2d_backward_input(
    grad_y,
    w,
    residual=None,
    y=None,
    x=None,
    mean=None,
    scale=None,
    shift=None,
    *,
    in_h,
    in_w,
    activation=0,
    alpha=0.0,
    max_value=np.inf,
    **geometry,
):
    """grad_x[n,h,w,c] = sum over the (p,q,i,j) that read pixel (h,w), and o, of grad_y[n,p,q,o] w[i,j,c,o].

    The residual is added where there is one, to all pixels or, where it is smaller, to every stride-th, every other one
    with stride 1; then comes `gradient_epilogue`.
    """
    grad_y, w, window = f64(grad_y), f64(w), Window(**geometry)
    g = window.groups
    n, out_h, out_w, _ = grad_y.shape
    kernel = w.reshape(*w.shape[:3], g, w.shape[3] // g)
    padded = window.pad(np.zeros((n, in_h, in_w, w.shape[2] * g)))
    for i, j, view in window.taps(padded, out_h, out_w):  # view writes into padded
        view += np.einsum("npqgo,cgo->npqgc", _grouped(grad_y, g), kernel[i, j]).reshape(view.shape)
    grad_x = window.crop(padded).copy()
    if residual is not None:
        strides = (window.stride_h, window.stride_w)
        every = (1, 1) if residual.shape == grad_x.shape else (2, 2) if strides == (1, 1) else strides
        grad_x[:, :: every[0], :: every[1]] += f64(residual)
    act = {"activation": activation, "alpha": alpha, "max_value": max_value}
    return gradient_epilogue(grad_x, y, x, mean, scale, shift, **act)


def conv2d_backward_weight(x, grad_y, *normalised, x_scale=1.0, x_offset=0.0, **geometry):
    """grad_w[i,j,c,o] = sum_{n,p,q} x[n, p s - pad + i d, ..., c] grad_y[n,p,q,o]; grad_bias[o] = sum_{n,p,q} grad_y.

    x x_scale + x_offset counts as x, and `normalised_gradient` as grad_y where out, p, q and s follow. Returns both.
    """
    x, window = f64(x) * x_scale + x_offset, Window(**geometry)
    grad_y = normalised_gradient(grad_y, *normalised) if normalised else f64(grad_y)
    g = window.groups
    n, out_h, out_w, out_channels = grad_y.shape
    grad_w = np.zeros((window.kernel_h, window.kernel_w, x.shape[3] // g, out_channels))
    for i, j, view in window.taps(window.pad(x), out_h, out_w):
        tap = np.einsum("npqgc,npqgo->cgo", _grouped(view, g), _grouped(grad_y, g))
        grad_w[i, j] = tap.reshape(grad_w.shape[2:])
    return grad_w, grad_y.sum(axis=(0, 1, 2))


def conv2d_transpose(x, w, bias=None, *, out_h, out_w, activation=0, alpha=0.0, max_value=np.inf, **geometry):
    """y = act(conv2d_backward_input(x as grad_y, w(kh,kw,o,i)) + bias)."""
    y = conv2d_backward_input(x, w, in_h=out_h, in_w=out_w, **geometry)
    if bias is not None:
        y = y + f64(bias)
    return activate(y, activation=activation, alpha=alpha, max_value=max_value)


def split_pooling(attributes):
    """(attributes of the convolution, those of the pooling by their names in max_pool2d)."""
    pooling = {key: value for key, value in attributes.items() if key.startswith("pool_")}
    own = {key: value for key, value in attributes.items() if key not in pooling}
    names = {key: key if key in ("pool_h", "pool_w") else key.removeprefix("pool_") for key in pooling}
    return own, {names[key]: value for key, value in pooling.items()}


def conv2d_max_pool2d(x, w, bias=None, **attributes):
    """y = max_pool2d(conv2d(x, w, bias))."""
    own, pooling = split_pooling(attributes)
    return max_pool2d(conv2d(x, w, bias, **own)[0], **pooling)


def conv2d_max_pool2d_backward_weight(x, y, grad_y, place, *, activation=0, alpha=0.0, max_value=np.inf, **attributes):
    """conv2d_backward_weight of max_pool2d_backward, from the places of the maxima."""
    geometry, pooling = split_pooling(attributes)
    in_h, in_w = Window(**geometry).out_size(*x.shape[1:3])
    act = {"activation": activation, "alpha": alpha, "max_value": max_value}
    return conv2d_backward_weight(
        x, max_pool2d_backward(None, y, grad_y, place, in_h=in_h, in_w=in_w, **act, **pooling), **geometry
    )


def depthwise_conv2d(x, w, bias=None, *, activation=0, alpha=0.0, max_value=np.inf, **geometry):
    """y[n,p,q, c M + m] = act(sum_{i,j} x[n, p s - pad + i d, ..., c] w[i,j,c,m] + bias[c M + m]).

    Returns (y, mean, var), the biased moments of y.
    """
    x, w, window = f64(x), f64(w), Window(**geometry)
    out_h, out_w = window.out_size(*x.shape[1:3])
    y = np.zeros((x.shape[0], out_h, out_w, *w.shape[2:]))
    for i, j, view in window.taps(window.pad(x), out_h, out_w):
        y += view[..., None] * w[i, j]
    y = y.reshape(*y.shape[:3], -1)
    if bias is not None:
        y = y + f64(bias)
    y = activate(y, activation=activation, alpha=alpha, max_value=max_value)
    return y, y.mean(axis=(0, 1, 2)), y.var(axis=(0, 1, 2))


def pointwise_depthwise_conv2d(
    x,
    w_inner,
    w,
    bias_inner=None,
    bias=None,
    *,
    inner_activation=0,
    inner_alpha=0.0,
    inner_max_value=np.inf,
    **attributes,
):
    """y = depthwise conv(inner_act(x w_inner + bias_inner), w) + bias, and its activation."""
    inner = f64(x) @ f64(w_inner)[0, 0]
    if bias_inner is not None:
        inner = inner + f64(bias_inner)
    inner = activate(inner, activation=inner_activation, alpha=inner_alpha, max_value=inner_max_value)
    return depthwise_conv2d(inner, w, bias, **attributes)[0]


def depthwise_conv2d_backward_input(
    grad_y,
    w,
    y=None,
    x=None,
    mean=None,
    scale=None,
    shift=None,
    *,
    in_h,
    in_w,
    activation=0,
    alpha=0.0,
    max_value=np.inf,
    **geometry,
):
    """grad_x[n,h,w,c] = sum over the (p,q,i,j) that read pixel (h,w), and m, of grad_y[n,p,q, c M + m] w[i,j,c,m].

    Then comes `gradient_epilogue`.
    """
    grad_y, w, window = f64(grad_y), f64(w), Window(**geometry)
    n, out_h, out_w, _ = grad_y.shape
    grad_y = grad_y.reshape(n, out_h, out_w, *w.shape[2:])
    padded = window.pad(np.zeros((n, in_h, in_w, w.shape[2])))
    for i, j, view in window.taps(padded, out_h, out_w):
        view += (grad_y * w[i, j]).sum(axis=-1)
    act = {"activation": activation, "alpha": alpha, "max_value": max_value}
    return gradient_epilogue(window.crop(padded).copy(), y, x, mean, scale, shift, **act)


def batchnorm_depthwise_conv2d(x, w, scale, shift, *, activation=0, alpha=0.0, max_value=np.inf, **geometry):
    """y = depthwise conv(act(x scale + shift), w), with its biased moments."""
    act = {"activation": activation, "alpha": alpha, "max_value": max_value}
    return depthwise_conv2d(activate(f64(x) * f64(scale) + f64(shift), **act), w, **geometry)


def batchnorm_depthwise_conv2d_backward(
    grad_y,
    x,
    w,
    mean,
    scale,
    shift,
    out=None,
    p=None,
    q=None,
    s=None,
    *,
    activation=0,
    alpha=0.0,
    max_value=np.inf,
    **geometry,
):
    """Gradients in t = act(x scale + shift), through act, with its sums (`gradient_epilogue`), and in w.

    Of grad_y, or with out of `normalised_gradient`. Returns (grad_x, grad_w, sum_g, sum_gx).
    """
    if out is not None:
        grad_y = normalised_gradient(grad_y, out, p, q, s)
    act = {"activation": activation, "alpha": alpha, "max_value": max_value}
    size = {"in_h": x.shape[1], "in_w": x.shape[2]}
    grad_x, sum_g, sum_gx = depthwise_conv2d_backward_input(
        grad_y, w, None, x, mean, scale, shift, **size, **act, **geometry
    )
    t = activate(f64(x) * f64(scale) + f64(shift), **act)
    grad_w = depthwise_conv2d_backward_weight(t, grad_y, multiplier=1, **geometry)[0]
    return grad_x, grad_w, sum_g, sum_gx


def _narrow(x, in_scale, in_shift):
    """What a 1x1 convolution expands: x in_scale + in_shift, or x."""
    return f64(x) if in_scale is None else f64(x) * f64(in_scale) + f64(in_shift)


def expansion_moments(x, w, in_scale=None, in_shift=None):
    """The biased moments of z = t w with t = x in_scale + in_shift, and the mean and the biased covariance of t."""
    t = _narrow(x, in_scale, in_shift)
    z, t = t @ f64(w)[0, 0], t.reshape(-1, t.shape[-1])
    deviations = t - t.mean(axis=0)
    return z.mean(axis=(0, 1, 2)), z.var(axis=(0, 1, 2)), t.mean(axis=0), deviations.T @ deviations / len(t)


def expanded_depthwise_conv2d(x, w_inner, w, scale, shift, in_scale=None, in_shift=None, **attributes):
    """y = depthwise conv(act(z scale + shift), w) with z = (x in_scale + in_shift) w_inner, and its biased moments."""
    z = _narrow(x, in_scale, in_shift) @ f64(w_inner)[0, 0]
    return batchnorm_depthwise_conv2d(z, w, scale, shift, **attributes)


def expanded_depthwise_conv2d_backward(
    grad_y,
    x,
    w_inner,
    w,
    mean,
    var,
    scale,
    shift,
    in_mean,
    in_covariance,
    gamma=None,
    in_scale=None,
    in_shift=None,
    residual=None,
    y=None,
    below_x=None,
    below_mean=None,
    below_scale=None,
    below_shift=None,
    *,
    inner_activation=0,
    inner_alpha=0.0,
    inner_max_value=np.inf,
    epsilon=1e-3,
    activation=0,
    alpha=0.0,
    max_value=np.inf,
    **geometry,
):
    """The gradients one after the other, as if z were there; in_mean and in_covariance are not needed for that.

    Returns (grad_x, sum_g, sum_gx, grad_w_inner, grad_w, grad_gamma, grad_beta).
    """
    inner = {"activation": inner_activation, "alpha": inner_alpha, "max_value": inner_max_value}
    t, weights = _narrow(x, in_scale, in_shift), f64(w_inner)[0, 0]
    z = t @ weights
    g, grad_w, *sums = batchnorm_depthwise_conv2d_backward(grad_y, z, w, mean, scale, shift, **inner, **geometry)
    rows = z.size // z.shape[-1]
    *constants, grad_gamma, grad_beta = batchnorm_backward_constants(
        mean, var, *sums, gamma, epsilon=epsilon, rows=rows
    )
    d = normalised_gradient(g, z, *constants)
    grad_t = d @ weights.T + (0 if residual is None else f64(residual))
    grad_w_inner = (t.reshape(rows, -1).T @ d.reshape(rows, -1))[None, None]
    act = {"activation": activation, "alpha": alpha, "max_value": max_value}
    below = gradient_epilogue(grad_t, y, below_x, below_mean, below_scale, below_shift, **act)
    if not isinstance(below, tuple):
        below = below, np.zeros(0), np.zeros(0)
    return *below, grad_w_inner, grad_w, grad_gamma, grad_beta


def batchnorm_conv2d(
    x,
    w,
    scale,
    shift,
    residual=None,
    residual_scale=None,
    residual_shift=None,
    *,
    activation=0,
    alpha=0.0,
    max_value=np.inf,
    **geometry,
):
    """y = conv(t, w) with t = act(x scale + shift + residual), its biased moments, and t."""
    act = {"activation": activation, "alpha": alpha, "max_value": max_value}
    residual = normalised_residual(residual, residual_scale, residual_shift)
    t = activate(f64(x) * f64(scale) + f64(shift) + (0 if residual is None else f64(residual)), **act)
    return *conv2d(t, w, **geometry), t


def batchnorm_conv2d_backward_weight(x, grad_y, scale, shift, *, activation=0, alpha=0.0, max_value=np.inf, **geometry):
    """The gradient of batchnorm_conv2d in w."""
    act = {"activation": activation, "alpha": alpha, "max_value": max_value}
    return conv2d_backward_weight(activate(f64(x) * f64(scale) + f64(shift), **act), grad_y, **geometry)[0]


def normalised_gradient(grad_y, out, p, q, s):
    """The gradient in what a batch normalisation read, out: p grad_y + q out + s."""
    return f64(p) * f64(grad_y) + f64(q) * f64(out) + f64(s)


POINTWISE = {"kernel_h": 1, "kernel_w": 1}


def pointwise_conv2d_backward(
    grad_y,
    w,
    conv_in,
    conv_out,
    p,
    q,
    s,
    in_scale=None,
    in_shift=None,
    residual=None,
    *epilogue,
    in_activation=0,
    in_alpha=0.0,
    in_max_value=np.inf,
    **act,
):
    """Gradients of conv(t, w) with w of 1x1 and t = act(in in_scale + in_shift), given d = p grad_y + q out + s.

    Without in_scale, t is in. Returns (grad_x, sum_g, sum_gx, grad_w), the first three as `conv2d_backward_input`; the
    sums are empty where it has none.
    """
    own = {"activation": in_activation, "alpha": in_alpha, "max_value": in_max_value}
    d = normalised_gradient(grad_y, conv_out, p, q, s)
    t = f64(conv_in) if in_scale is None else activate(f64(conv_in) * f64(in_scale) + f64(in_shift), **own)
    size = {"in_h": t.shape[1], "in_w": t.shape[2]}
    grad_x = conv2d_backward_input(d, w, residual, *epilogue, **size, **act, **POINTWISE)
    if not isinstance(grad_x, tuple):
        grad_x = grad_x, np.zeros(0), np.zeros(0)
    return *grad_x, conv2d_backward_weight(t, d, **POINTWISE)[0]


def depthwise_conv2d_backward_weight(x, grad_y, *, multiplier, **geometry):
    """grad_w[i,j,c,m] = sum_{n,p,q} x[n, p s - pad + i d, ..., c] grad_y[n,p,q, c M + m]; grad_bias sums grad_y.

    Returns both.
    """
    x, grad_y, window = f64(x), f64(grad_y), Window(**geometry)
    n, out_h, out_w, channels = grad_y.shape
    split = grad_y.reshape(n, out_h, out_w, x.shape[3], multiplier)
    grad_w = np.zeros((window.kernel_h, window.kernel_w, x.shape[3], multiplier))
    for i, j, view in window.taps(window.pad(x), out_h, out_w):
        grad_w[i, j] = (view[..., None] * split).sum(axis=(0, 1, 2))
    return grad_w, grad_y.sum(axis=(0, 1, 2)).reshape(channels)
