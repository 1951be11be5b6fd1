"""Mixup and CutMix: the labels say exactly what the pixels show."""

import numpy as np
import pytest

from cnncore import augment


def batch(count=8, size=(10, 12), dtype=np.float32):
    """Image i is all i + 1, so that a pixel tells where it came from."""
    images = np.empty((count, *size, 3), dtype)
    images[...] = (np.arange(count) + 1)[:, None, None, None]
    return images, np.eye(count, dtype=np.float32)


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_mixup_labels_are_the_shares_of_the_pixels(per):
    images, labels = batch()
    mixed, soft = augment.mixup(images, labels, alpha=1.0, per=per, seed=1, indices=range(8))
    np.testing.assert_allclose(soft.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(mixed[:, 0, 0, 0], soft @ np.arange(1, 9), rtol=1e-6)  # x = sum of shares times values
    assert np.all(mixed == mixed[:, :1, :1, :1])
    shares = np.array([soft[i, i] for i in range(8)])
    assert (len(np.unique(shares[shares < 1].round(5))) == 1) == (per == "batch")


def test_mixup_by_hand():
    """0.4 of one and 0.6 of another gives the label (0.4, 0.6)."""

    class Fixed(augment.MixUp):
        def mixed(self, images, partners, shares, sources):
            return super().mixed(images, np.array([1, 0]), np.full(2, 0.4), sources)

    images = np.array([[[[10.0]]], [[[20.0]]]], np.float32)
    for seed in range(50):
        mixed, soft = Fixed()(images, np.eye(2), seed=seed, indices=[0, 1])
        np.testing.assert_allclose(mixed.ravel(), [16, 14], rtol=1e-6)
        if soft[0, 0] != 1:
            np.testing.assert_allclose(soft, [[0.4, 0.6], [0.6, 0.4]], rtol=1e-6)
            break
    else:
        pytest.fail("no batch of two was ever mixed")


def test_mixup_of_bytes_is_rounded():
    images, labels = batch(dtype=np.uint8)
    images *= 20
    mixed, soft = augment.mixup(images, labels, alpha=1.0, seed=1, indices=range(8))
    assert mixed.dtype == np.uint8
    np.testing.assert_allclose(mixed[:, 0, 0, 0], soft @ (20.0 * np.arange(1, 9)), atol=0.5001)


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_cutmix_labels_are_the_areas(per):
    images, labels = batch(16)
    places, partial = set(), 0
    for seed in range(20):
        mixed, soft = augment.cutmix(images, labels, per=per, seed=seed, indices=range(16))
        for i in range(16):
            shares = np.array([(mixed[i, ..., 0] == k + 1).mean() for k in range(16)])
            np.testing.assert_allclose(soft[i], shares, atol=1e-6)
            other = mixed[i, ..., 0] != i + 1
            if other.any():
                rows, columns = np.flatnonzero(other.any(1)), np.flatnonzero(other.any(0))
                assert other.sum() == len(rows) * len(columns)  # one rectangle
                places.add((rows[0], columns[0], len(rows), len(columns)))
                partial += len(np.unique(mixed[i])) == 2
    assert len(places) > (12 if per == "batch" else 100) and partial > 100


def test_shares_are_drawn_from_beta():
    images, labels = batch(2, (1, 1))
    for alpha in (0.2, 1.0, 4.0):
        shares = []
        for index in range(1500):
            _, soft = augment.mixup(images, labels, alpha, seed=9, indices=[index, index + 10_000])
            if soft[0, 0] != 1:  # partners differ
                shares.append(soft[0, 0])
        n, variance = len(shares), 1 / (4 * (2 * alpha + 1))
        assert n > 600 and abs(np.mean(shares) - 0.5) < 4 * np.sqrt(variance / n)
        assert abs(np.var(shares) / variance - 1) < 0.2


@pytest.mark.parametrize("cls", [augment.MixUp, augment.CutMix])
def test_draws(cls):
    images, labels = batch()
    for per in ("batch", "sample"):
        mix = cls(1.0, per=per)
        first, first_soft = mix(images, labels, seed=1, epoch=2, indices=range(8))
        again, again_soft = mix(images, labels, seed=1, epoch=2, indices=range(8))
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(first_soft, again_soft)
        for other in (
            {"seed": 2, "epoch": 2, "indices": range(8)},
            {"seed": 1, "epoch": 3, "indices": range(8)},
            {"seed": 1, "epoch": 2, "indices": range(8, 16)},
        ):
            assert not np.array_equal(mix(images, labels, **other)[1], first_soft)
        assert not np.array_equal(mix(images, labels)[1], mix(images, labels)[1])
    mixed = [
        not np.array_equal(cls(1.0, p=0.25)(images, labels, seed=1, indices=range(i, i + 8))[1], labels)
        for i in range(400)
    ]
    assert abs(np.mean(mixed) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 400) + 0.01  # CutMix may cut nothing
    np.testing.assert_array_equal(images, batch()[0])


def test_class_numbers_and_data():
    images, labels = batch()
    numbers = np.arange(8)
    for cls in (augment.MixUp, augment.CutMix):
        mix = cls(num_classes=8)
        again = augment.deserialize(augment.serialize(mix))
        for (a, b), (c, d) in zip(
            [mix(images, numbers, seed=1, indices=numbers)], [again(images, labels, seed=1, indices=numbers)]
        ):
            np.testing.assert_array_equal(a, c)
            np.testing.assert_array_equal(b, d)
    empty, none = augment.mixup(images[:0], labels[:0], seed=1, indices=[])
    assert empty.shape == (0, 10, 12, 3) and none.shape == (0, 8)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda i, y: augment.mixup(i, y, alpha=0), "MixUp: alpha must be a finite number > 0, got 0"),
        (lambda i, y: augment.cutmix(i, y, per="image"), "CutMix: per must be one of 'batch', 'sample'"),
        (lambda i, y: augment.mixup(i, np.arange(8)), "MixUp: num_classes must be given to mix class numbers"),
        (lambda i, y: augment.mixup(i, np.arange(8), num_classes=7), r"MixUp: labels must be in 0..6, got 0..7"),
        (lambda i, y: augment.mixup(i, y, num_classes=7), "MixUp: labels must have 7 columns, got 8"),
        (lambda i, y: augment.mixup(i, y[:5]), "MixUp: labels must hold one entry for each of the 8 images, got 5"),
        (lambda i, y: augment.mixup(i[0], y), "MixUp: images must be a uint8 or float32 array"),
        (lambda i, y: augment.mixup(i, y, seed=3), "MixUp: seed and indices must be given together"),
        (
            lambda i, y: augment.mixup(i, y, seed=3, indices=[1]),
            "indices must hold one number for each of the 8 images",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make(*batch())
