"""All randomness is a function of (seed, epoch, sample number)."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import cnncore.random
from augment_oracle import smooth_image
from cnncore import augment
from cnncore.augment import draws

IMAGE = smooth_image(24, 28)
EVERYTHING = augment.Compose(
    [
        augment.RandomResizedCrop(20, scale=(0.4, 1)),
        augment.HorizontalFlip(),
        augment.Rotation(20, fill_mode="reflect"),
        augment.ElasticDeformation((0, 10), (2, 4)),
        augment.LensDistortion(),
        augment.ColorJitter(0.4, 0.4, 0.4, 0.1),
        augment.OneOf([augment.GaussianNoise(), augment.SpeckleNoise(), augment.SaltAndPepperNoise()]),
        augment.RandomApply(augment.GaussianBlur()),
        augment.RandAugment(),
        augment.RandomErasing(),
    ]
)


def all_bytes(order, pipeline=EVERYTHING, seed=1, epoch=0):
    return {i: pipeline(IMAGE, seed=seed, epoch=epoch, index=i).tobytes() for i in order}


def test_same_bytes_whatever_the_order_and_the_worker():
    expected = all_bytes(range(24))
    assert all_bytes(reversed(range(24))) == expected
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(lambda start: all_bytes(range(start, 24, 4)), range(4))
    assert {k: v for part in parts for k, v in part.items()} == expected
    numbers = np.random.default_rng(0).permutation(24)
    batch = EVERYTHING(np.repeat(IMAGE[None], 24, axis=0), seed=1, indices=numbers)
    assert {int(n): one.tobytes() for n, one in zip(numbers, batch)} == expected
    picture = Image.fromarray(IMAGE)
    assert {i: EVERYTHING(picture, seed=1, index=i).tobytes() for i in range(24)} == expected


def test_same_bytes_in_another_process():
    code = (
        "import sys; sys.path.insert(0, 'tests'); import hashlib, test_augment_draws as t; "
        "print(hashlib.sha256(b''.join(t.all_bytes(range(6)).values())).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=__file__.rsplit("/tests/", 1)[0],
        ).stdout
        for _ in range(2)
    }
    import hashlib

    assert runs == {hashlib.sha256(b"".join(all_bytes(range(6)).values())).hexdigest() + "\n"}


def test_samples_epochs_and_seeds_differ():
    seen = [all_bytes(range(20), seed=seed, epoch=epoch)[i] for seed in (1, 2) for epoch in (0, 1) for i in range(20)]
    assert len(set(seen)) == 80


def test_first_draws_of_neighbours_are_independent():
    """Over samples, epochs and seeds: uniform, and uncorrelated with the neighbour's."""
    for generators in (
        [draws.generator(1, 0, i) for i in range(4000)],
        [draws.generator(1, e, 7) for e in range(4000)],
        [draws.generator(s, 0, 7) for s in range(4000)],
        [draws.generator(1, 0, 7, s) for s in range(4000)],
    ):
        values = np.array([g.random() for g in generators])
        counts = np.bincount((values * 16).astype(int), minlength=16)
        assert ((counts - 250) ** 2 / 250).sum() < 50  # chi-square, 15 degrees of freedom: 1 in 100,000
        assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 4.5 / np.sqrt(4000)


def test_without_a_seed_cnncore_random_gives_one():
    cnncore.random.set_seed(5)
    first = [EVERYTHING(IMAGE).tobytes() for _ in range(4)]
    cnncore.random.set_seed(5)
    assert [EVERYTHING(IMAGE).tobytes() for _ in range(4)] == first
    cnncore.random.set_seed(None)
    assert len(set(first)) == 4
    batch = EVERYTHING(np.repeat(IMAGE[None], 4, axis=0))
    assert len({one.tobytes() for one in batch}) == 4
    before = np.random.get_state()[1].copy()
    EVERYTHING(IMAGE)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def moments(value, low, high, n):
    assert low <= value.min() and value.max() <= high
    assert abs(value.mean() - (low + high) / 2) < 4.5 * (high - low) / np.sqrt(12 * n)
    assert abs(value.std() - (high - low) / np.sqrt(12)) < 4.5 * (high - low) / np.sqrt(12 * n)


def test_ranges_are_used_to_their_ends():
    n = 1500
    gens = [draws.generator(3, 1, i) for i in range(n)]
    angles = []
    for g in gens:
        m = augment.Rotation((-10, 40)).stage((10, 10), g).matrix
        angles.append(np.degrees(np.arctan2(m[1, 0], m[0, 0])))
    moments(np.array(angles), -10, 40, n)
    shifts = np.array([-augment.Translation((0.1, 0.2), 0.3).stage((100, 50), g).matrix[:2, 2] for g in gens])
    moments(shifts[:, 0], 10, 20, n)
    moments(shifts[:, 1], -15, 15, n)
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 4.5 / np.sqrt(n)
    moments(np.array([augment.Brightness(0.4).draw(g) for g in gens]), 0.6, 1.4, n)
    moments(-np.log([augment.Scale((0.5, 2)).stage((9, 9), g).matrix[0, 0] for g in gens]), -np.log(2), np.log(2), n)
    bits = np.array([augment.Posterize((3, 6)).draw(g) for g in gens])
    assert set(bits) == {3, 4, 5, 6} and np.bincount(bits)[3:].min() > n / 4 - 4.5 * np.sqrt(n * 3 / 16)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1.0])
def test_probability(p):
    n = 1500
    done = [augment.HorizontalFlip(p)(IMAGE[:1, :5], seed=8, index=i)[0, 0, 0] != IMAGE[0, 0, 0] for i in range(n)]
    assert IMAGE[0, 0, 0] != IMAGE[0, 4, 0]
    assert abs(np.mean(done) - p) <= 4.5 * np.sqrt(p * (1 - p) / n)


def test_numbers_stand_for_the_ranges_that_are_said():
    assert augment.Rotation(30).degrees == (-30, 30) and augment.Translation(0.2).x == (-0.2, 0.2)
    assert augment.Brightness(0.4).factor == (0.6, 1.4) and augment.Brightness(3).factor == (0, 4)
    assert augment.GaussianNoise(0.1).std == (0, 0.1) and augment.ElasticDeformation(34).alpha == (34, 34)


def test_pillow_is_imported_when_it_is_used():
    code = "import sys, cnncore.augment; assert 'PIL' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=__file__.rsplit("/tests/", 1)[0])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"seed": 1}, "HorizontalFlip: seed and index must be given together"),
        ({"index": 1}, "HorizontalFlip: seed and index must be given together"),
        ({"seed": 1, "indices": [1]}, "index must be given for one image"),
        ({"seed": -1, "index": 1}, "seed must be an integer >= 0"),
        ({"seed": 1, "index": -1}, "augment: index must be an integer >= 0, got -1"),
        ({"seed": 1, "index": 2, "epoch": 0.5}, "augment: epoch must be an integer"),
        ({"seed": 1, "index": 2**64}, r"augment: index must be below 2\*\*64"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        augment.HorizontalFlip()(IMAGE, **arguments)


def test_errors_of_batches():
    batch = np.repeat(IMAGE[None], 3, axis=0)
    with pytest.raises(ValueError, match="indices must hold one number for each of the 3 images, got 2"):
        augment.HorizontalFlip()(batch, seed=1, indices=[1, 2])
    with pytest.raises(ValueError, match="indices must be given for a batch, got index=3"):
        augment.HorizontalFlip()(batch, seed=1, index=3)
