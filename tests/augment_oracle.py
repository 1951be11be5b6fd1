"""A slow picture sampler in float64: `numpy.pad` lays the endless picture out, loops read it."""

import numpy as np

FILL_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


def smooth_image(height=40, width=52, channels=3, seed=0, rounded=True):
    """Slow waves, uint8 or unrounded float32, alike at opposite borders, so that no fill mode makes a sharp step."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] * 2 * np.pi
    waves = [np.cos(y / height + a) * np.cos(x / width + b) for a, b in rng.uniform(0, 6, (channels, 2))]
    image = 127.5 + 70 * np.stack(waves, axis=2)
    return np.rint(image).astype(np.uint8) if rounded else image.astype(np.float32)


def noise_image(height=13, width=17, channels=3, seed=0):
    return np.random.default_rng(seed).random((height, width, channels)).astype(np.float32)


def cubic(t):
    """Keys' kernel with a = -1/2 at the distance t."""
    t = abs(t)
    if t < 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def linear(t):
    return max(0.0, 1 - abs(t))


def sampled(image, back, size, mode, value=0.0, interpolation="bilinear"):
    """Read `image` at ``back(x, y)`` for the centre (x, y) of each pixel of an output of `size` (width, height)."""
    image = image.astype(np.float64)
    height, width, channels = image.shape
    frame = 4 * max(height, width)
    pads = ((frame, frame), (frame, frame), (0, 0))
    if mode == "constant":
        pad = np.empty((height + 2 * frame, width + 2 * frame, channels))
        pad[...] = value
        pad[frame:-frame, frame:-frame] = image
    else:
        pad = np.pad(image, pads, mode)
    kernel, reach = (cubic, 2) if interpolation == "bicubic" else (linear, 1)
    result = np.empty((size[1], size[0], channels))
    for i in range(size[1]):
        for j in range(size[0]):
            x, y = back(j + 0.5, i + 0.5)
            if interpolation == "nearest":
                result[i, j] = pad[int(np.floor(y)) + frame, int(np.floor(x)) + frame]
                continue
            u, v = x - 0.5 + frame, y - 0.5 + frame
            rows = np.arange(int(np.floor(v)) - reach + 1, int(np.floor(v)) + reach + 1)
            columns = np.arange(int(np.floor(u)) - reach + 1, int(np.floor(u)) + reach + 1)
            weights_y = np.array([kernel(v - r) for r in rows])
            weights_x = np.array([kernel(u - c) for c in columns])
            result[i, j] = np.einsum("i,j,ijc->c", weights_y, weights_x, pad[np.ix_(rows, columns)])
    return result
