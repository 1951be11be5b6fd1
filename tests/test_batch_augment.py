"""Batch augmentation: the pixels against NumPy bit for bit, the draws against a Philox of its own, and what training
needs of them."""

import time

import numpy as np
import pytest

from cnncore import _core
from cnncore.augment.batch import BatchAugment

RNG = np.random.default_rng(0)


def images(n=11, h=9, w=7, c=3, dtype=np.uint8):
    x = RNG.integers(0, 256, (n, h, w, c), dtype=np.uint8)
    return x if dtype == np.uint8 else x.astype(np.float32) / 7


# ---------------------------------------------------------------- references


def philox(seed, epoch, number):
    """The first 16 words of an image: Philox4x32-10 in Python's integers, from the definition."""
    words = []
    for lane in range(16):
        block = 16 * number + lane
        a, b = block % 2**32, (block >> 32) + (epoch >> 32 << 8)
        c, d, k0, k1 = epoch % 2**32, 0xFFFFFFFF, seed % 2**32, seed >> 32
        for _ in range(10):
            p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
            a, b, c, d = (q >> 32) ^ b ^ k0, q % 2**32, (p >> 32) ^ d ^ k1, p % 2**32
            k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
        words.append(a)
    return words


def expected_image(recipe, x, draw):
    """One image without mixup, by numpy.pad and slices, in float32 with the same two roundings."""
    c = x.shape[-1]
    spread = lambda v: np.broadcast_to(np.asarray(v, np.float64), (c,))
    (ph, pw), (h, w) = recipe.shift, recipe.size or x.shape[1:3]
    image = x[draw["number"]].astype(np.float32)
    border = ((ph, ph), (pw, pw), (0, 0))
    if recipe.border == "constant":
        padded = np.empty((image.shape[0] + 2 * ph, image.shape[1] + 2 * pw, c), np.float32)
        padded[:] = spread(recipe.border_value)
        padded[ph : ph + image.shape[0], pw : pw + image.shape[1]] = image
    else:
        padded = np.pad(image, border, recipe.border)
    window = padded[draw["top"] : draw["top"] + h, draw["left"] : draw["left"] + w]
    window = window[:, ::-1] if draw["flip"] else window
    window = window[::-1] if draw["flip_vertical"] else window
    scale = (recipe.rescale / spread(recipe.std)).astype(np.float32)
    y = window * scale + (-spread(recipe.mean) / spread(recipe.std)).astype(np.float32)
    y[draw["cut_top"] : draw["cut_bottom"], draw["cut_left"] : draw["cut_right"]] = spread(recipe.cutout_value)
    return y


def expected(recipe, x, draws):
    n = len(draws) // 2 if recipe.mixup else len(draws)
    result = []
    for i in range(n):
        y = expected_image(recipe, x, draws[i])
        if recipe.mixup:
            share = draws[i]["share"]
            y = share * y + (np.float32(1) - share) * expected_image(recipe, x, draws[n + i])
        result.append(y)
    return np.stack(result)


RECIPES = {
    "nothing": BatchAugment(),
    "cifar": BatchAugment(
        flip=0.5, shift=2, cutout=4, rescale=1 / 255, mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26)
    ),
    "all flips, edge": BatchAugment(flip=0.5, flip_vertical=0.5, shift=(3, 1), border="edge"),
    "reflect": BatchAugment(flip=0.5, shift=(8, 6), border="reflect", rescale=0.1),
    "symmetric": BatchAugment(shift=(9, 7), border="symmetric"),
    "wrap": BatchAugment(flip=1.0, shift=(9, 7), border="wrap"),
    "far beyond the image": BatchAugment(flip=0.5, shift=20, border_value=(1.0, 2.0, 3.0), mean=(1.0, 2.0, 3.0)),
    "crop": BatchAugment(flip=0.5, size=(5, 4), cutout=(3, 9), cutout_probability=0.5, cutout_value=(7.0, 8.0, 9.0)),
    "larger window": BatchAugment(shift=4, size=(17, 15), border_value=128.0),
    "mixup": BatchAugment(flip=0.5, shift=2, cutout=3, mixup=0.4, rescale=1 / 255, mean=0.5, std=0.25),
}


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("name", RECIPES)
def test_pixels_are_those_of_numpy(name, dtype, isa):
    """The same bits for 1, 2 and 3 threads, and those of NumPy for the same draws."""
    recipe, x = RECIPES[name], images(dtype=dtype)
    numbers = RNG.integers(0, len(x), 40)
    one, draws = recipe._run(x, numbers, 5, 2, 1, isa)
    for threads in (2, 3):
        many, again = recipe._run(x, numbers, 5, 2, threads, isa)
        assert many.tobytes() == one.tobytes() and again.tobytes() == draws.tobytes()
    assert np.array_equal(one, expected(recipe, x, draws))


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_many_threads_on_large_images(threads):
    """Enough pixels that every thread gets some; small batches are left to one."""
    x, recipe = images(5, 400, 400), BatchAugment(flip=0.5, shift=20, border="reflect", cutout=30, mixup=0.5)
    numbers = np.arange(10) % 5
    one, draws = recipe._run(x, numbers, 5, 2, 1)
    many, again = recipe._run(x, numbers, 5, 2, threads)
    assert many.tobytes() == one.tobytes() and again.tobytes() == draws.tobytes()
    assert np.array_equal(one[7], expected(recipe, x, draws[[7, 17]])[0])


@pytest.mark.parametrize("c", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("w", [1, 2, 31, 33])
def test_any_width_and_channels(c, w):
    for dtype in (np.uint8, np.float32):
        x, recipe = images(4, 3, w, c, dtype), BatchAugment(flip=0.5, shift=1, border="edge", cutout=1, mixup=1.0)
        y, draws = recipe._run(x, np.arange(4), 1, 0, 1)
        assert np.array_equal(y, expected(recipe, x, draws))


@pytest.mark.parametrize("seed, epoch", [(0, 0), (2**64 - 1, 3), (12345678901234567890, 2**40 + 7)])
def test_draws_follow_from_seed_epoch_and_number(seed, epoch):
    """Each field from its word of a Philox in plain Python."""
    recipe, x = (
        BatchAugment(
            flip=0.5, flip_vertical=0.25, shift=(3, 2), size=(6, 5), cutout=(4, 3), cutout_probability=0.7, mixup=0.3
        ),
        images(300),
    )
    numbers = np.array([0, 1, 299, 17])
    _, draws = recipe._run(x, numbers, seed, epoch, 1)
    for row, number in zip(draws, numbers):
        w = philox(seed, epoch, int(number))
        below = lambda word, k: word * k >> 32
        assert row["number"] == number and row["flip"] == (w[0] < 2**31) and row["flip_vertical"] == (w[1] < 2**30)
        assert row["top"] == below(w[2], 9 + 6 - 6 + 1) and row["left"] == below(w[3], 7 + 4 - 5 + 1)
        box = [0, 0, 0, 0]
        if w[4] < 0.7 * 2**32:
            top, left = below(w[5], 6) - 2, below(w[6], 5) - 1
            box = [max(top, 0), max(left, 0), min(top + 4, 6), min(left + 3, 5)]
        assert [row[f"cut_{side}"] for side in ("top", "left", "bottom", "right")] == box
        assert row["partner"] == below(w[7], 300)
        q, c = ((w[8] + 0.5) / 2**32) ** (-1 / 0.3) - 1, np.cos(2 * np.pi * w[9] / 2**32)
        assert abs(row["share"] - 0.5 * (1 + c / np.sqrt(1 / q + c * c))) < 1e-6
    partners = draws[len(numbers) :]
    assert np.array_equal(partners["number"], draws["partner"][: len(numbers)])
    _, own = recipe._run(x, partners["number"].copy(), seed, epoch, 1)
    for name in ("flip", "flip_vertical", "top", "left", "cut_top", "cut_left", "cut_bottom", "cut_right"):
        assert np.array_equal(
            partners[name], own[name][: len(numbers)]
        )  # a partner is moved as it is when it comes itself


def test_draws_are_uniform_and_shares_are_beta():
    """Frequencies and moments within five standard deviations; Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a +
    1))."""
    n = 20000
    x, numbers = images(n, 4, 4, 1), np.arange(n)
    for alpha in (0.2, 1.0, 3.0):
        _, draws = BatchAugment(flip=0.3, shift=2, mixup=alpha)._run(x, numbers, 9, 1, 1)
        draws = draws[:n]
        assert abs(draws["flip"].mean() - 0.3) < 5 * np.sqrt(0.21 / n)
        for side in ("top", "left"):
            assert np.abs(np.bincount(draws[side], minlength=5) / n - 0.2).max() < 5 * np.sqrt(0.16 / n)
        share = draws["share"].astype(np.float64)
        assert share.min() >= 0 and share.max() <= 1
        variance = 1 / (4 * (2 * alpha + 1))
        assert abs(share.mean() - 0.5) < 5 * np.sqrt(variance / n)
        assert abs(((share - 0.5) ** 2).mean() - variance) < 5 * 0.25 / np.sqrt(n)
        assert abs(draws["partner"].mean() / n - 0.5) < 5 / np.sqrt(12 * n)


def test_other_numbers_epochs_and_seeds_draw_otherwise():
    """The well-known bug: the same draws for different samples, workers or epochs."""
    x = np.repeat(images(1, 8, 8), 64, axis=0)
    recipe = BatchAugment(flip=0.5, shift=4)
    first = recipe(x, seed=1)
    assert len({y.tobytes() for y in first}) > 40
    for other in (recipe(x, seed=1, epoch=1), recipe(x, seed=2)):
        assert (first != other).any(axis=(1, 2, 3)).mean() > 0.8
    assert np.array_equal(recipe(x, seed=1), first)


def test_order_and_batches_do_not_matter():
    x, recipe = images(64), BatchAugment(flip=0.5, shift=2, cutout=3, mixup=0.5)
    whole, order = recipe(x, seed=3, epoch=5), RNG.permutation(64)
    parts = np.concatenate([recipe(x, indices=order[i : i + 5], seed=3, epoch=5) for i in range(0, 64, 5)])
    assert np.array_equal(parts, whole[order])


# ---------------------------------------------------------------- training


def test_flow_is_an_epoch_after_the_other():
    x, y = images(50), np.arange(50)
    recipe = BatchAugment(flip=0.5, shift=2)
    flow = recipe.flow(x, y, batch_size=16, seed=4)
    assert len(flow) == 4
    first, second = list(flow), list(flow)
    assert [len(b[1]) for b in first] == [16, 16, 16, 2]
    for epoch, batches in enumerate((first, second)):
        labels = np.concatenate([b[1] for b in batches])
        assert sorted(labels) == list(range(50))
        assert np.array_equal(np.concatenate([b[0] for b in batches]), recipe(x, indices=labels, seed=4, epoch=epoch))
    assert not np.array_equal(first[0][1], second[0][1])
    again = recipe.flow(x, y, batch_size=16, seed=4, epoch=1, threads=2)  # continued after an epoch
    for (a, b), (c, d) in zip(again, second):
        assert np.array_equal(a, c) and np.array_equal(b, d)
    assert np.array_equal(np.concatenate([b[1] for b in recipe.flow(x, y, shuffle=False)]), y)
    assert next(iter(recipe.flow(x))).shape == (32, 9, 7, 3)


def test_mixup_blends_labels_as_it_blends_images():
    """Images that are constant and equal to their class: the blended pixel is the blended label."""
    x = np.repeat(np.arange(5, dtype=np.float32), 4)[:, None, None, None] * np.ones((20, 2, 2, 1), np.float32)
    y = np.repeat(np.arange(5), 4)
    for labels, arguments in ((y, {"num_classes": 5}), (np.eye(5, dtype=np.float32)[y], {})):
        flow = BatchAugment(mixup=1.0).flow(x, labels, batch_size=20, seed=1, **arguments)
        ((mixed, target),) = flow
        assert target.shape == (20, 5) and target.dtype == np.float32
        np.testing.assert_allclose(target.sum(axis=1), 1, atol=2.0**-22)
        np.testing.assert_allclose(target @ np.arange(5), mixed[:, 0, 0, 0], atol=2.0**-19)
        assert (np.count_nonzero(target, axis=1) == 2).any()


def test_training_with_a_flow():
    import cnncore as cc
    from cnncore import layers

    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 256)
    x = (rng.integers(0, 100, (256, 8, 8, 1)) + 100 * y[:, None, None, None]).astype(np.uint8)

    def train():
        model = cc.Sequential(
            [cc.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(2)]
        )
        model.set_weights([np.random.default_rng(2).normal(0, 0.2, w.shape) for w in model.get_weights()])
        model.compile("adam", "mse", seed=0)
        flow = BatchAugment(flip=0.5, shift=1, rescale=1 / 255, mean=0.5, std=0.3, mixup=0.2).flow(
            x, y, batch_size=32, seed=6, num_classes=2
        )
        return model.fit(flow, epochs=6, verbose=0).history["loss"]

    losses = train()
    assert losses[-1] < 0.6 * losses[0] and train() == losses


def test_cost_on_cifar_batches():
    """The whole recipe on 128 x 32 x 32 x 3 bytes; the bound leaves room for a busy machine (0.25 ms are usual)."""
    x, recipe = (
        RNG.integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8),
        BatchAugment(flip=0.5, shift=4, cutout=16, rescale=1 / 255, mean=0.5, std=0.25),
    )
    numbers, best = RNG.integers(0, 2000, 128), np.inf
    for epoch in range(30):
        start = time.perf_counter()
        recipe._run(x, numbers, 1, epoch, 1)
        best = min(best, time.perf_counter() - start)
    assert best < 5e-3


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"flip": 1.5}, "flip must be a probability"),
        ({"shift": -1}, "shift must be an integer >= 0"),
        ({"shift": (1, 2, 3)}, "shift must be a whole number or a pair"),
        ({"border": "mirror"}, "border must be one of"),
        ({"std": 0.0}, "std must be > 0"),
        ({"mixup": -1}, "mixup must be"),
        ({"size": (0, 3)}, "size must be"),
        ({"cutout_probability": None}, "cutout_probability must be"),
        ({"mean": [[1.0]]}, "mean must be a number or one per channel"),
    ],
)
def test_wrong_recipes(arguments, message):
    with pytest.raises(ValueError, match=message):
        BatchAugment(**arguments)


def test_what_does_not_fit_the_images_is_refused():
    x = images()
    for recipe, message in (
        (BatchAugment(mean=(1.0, 2.0)), "mean must have one value per channel, 3, got 2"),
        (BatchAugment(size=(10, 7)), "cannot be cut out"),
        (BatchAugment(shift=(9, 0), border="reflect"), "at most"),
        (BatchAugment(shift=(0, 8), border="wrap"), "at most"),
    ):
        with pytest.raises(ValueError, match=message):
            recipe(x)
        with pytest.raises(ValueError, match=message):
            recipe.flow(x)
    recipe = BatchAugment(mixup=0.2)
    for call, message in (
        (lambda: recipe(x[0]), "images must have shape"),
        (lambda: recipe(x, indices=[0, 11]), "must be 0 to 10, got 11"),
        (lambda: recipe(x, indices=[-1]), "must be 0 to 10, got -1"),
        (lambda: recipe(x, indices=[0.5]), "whole numbers"),
        (lambda: recipe(x, seed=-1), "seed"),
        (lambda: recipe.flow(x, np.arange(11)), "num_classes must be given"),
        (lambda: recipe.flow(x, np.arange(11), num_classes=10), "0 to 9"),
        (lambda: recipe.flow(x, np.arange(10), num_classes=10), "one entry per image"),
        (lambda: BatchAugment().flow(x, np.arange(11), num_classes=11), "left out"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert recipe(x, indices=np.zeros(0, int)).shape == (0, 9, 7, 3)


def test_recipe_round_trip():
    recipe = RECIPES["crop"]
    assert BatchAugment.from_config(recipe.get_config()).get_config() == recipe.get_config()
