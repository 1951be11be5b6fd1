"""Sliding windows over NHWC images: the geometry that convolution and pooling share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """Kernel, stride, zero padding and dilation; every field is the operation's attribute of that name."""

    kernel_h: int
    kernel_w: int
    stride_h: int = 1
    stride_w: int = 1
    pad_top: int = 0
    pad_left: int = 0
    pad_bottom: int = 0
    pad_right: int = 0
    dilation_h: int = 1
    dilation_w: int = 1
    groups: int = 1

    def out_size(self, h, w):
        """floor((in + pads - ((kernel-1) dilation + 1)) / stride) + 1 for both axes."""
        rows = h + self.pad_top + self.pad_bottom - (self.kernel_h - 1) * self.dilation_h - 1
        columns = w + self.pad_left + self.pad_right - (self.kernel_w - 1) * self.dilation_w - 1
        if rows < 0 or columns < 0:
            raise ValueError(f"window {self} is larger than the padded input {h}x{w}")
        return rows // self.stride_h + 1, columns // self.stride_w + 1

    def pad(self, x, value=0.0):
        """x (n,h,w,c) with its border of `value`."""
        pads = ((0, 0), (self.pad_top, self.pad_bottom), (self.pad_left, self.pad_right), (0, 0))
        return np.pad(x, pads, constant_values=value)

    def crop(self, padded):
        """The inverse of `pad`: the inner image as a view."""
        h, w = padded.shape[1:3]
        return padded[:, self.pad_top : h - self.pad_bottom, self.pad_left : w - self.pad_right]

    def taps(self, padded, out_h, out_w):
        """Yield (i, j, view) in row-major order.

        View[n, p, q, c] = padded[n, p*stride + i*dilation, q*stride + j*dilation, c].
        """
        for i in range(self.kernel_h):
            top = i * self.dilation_h
            for j in range(self.kernel_w):
                left = j * self.dilation_w
                yield (
                    i,
                    j,
                    padded[
                        :,
                        top : top + (out_h - 1) * self.stride_h + 1 : self.stride_h,
                        left : left + (out_w - 1) * self.stride_w + 1 : self.stride_w,
                    ],
                )


def pool_window(pool_h, pool_w, stride_h=1, stride_w=1, pad_top=0, pad_left=0, pad_bottom=0, pad_right=0):
    """A pooling operation's attributes as a `Window`."""
    return Window(pool_h, pool_w, stride_h, stride_w, pad_top, pad_left, pad_bottom, pad_right)


def f64(x):
    """x as float64 (None stays None)."""
    return None if x is None else np.asarray(x, dtype=np.float64)
