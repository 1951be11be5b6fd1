"""Noise and erasing: distributions, shares and places."""

import numpy as np
import pytest
from PIL import Image

from augment_oracle import noise_image
from cnncore import augment


def fixed(value):
    return (value, value)


GREY = np.full((128, 128, 3), 0.5, np.float32)


def test_gaussian_noise_is_normal():
    noise = (augment.GaussianNoise(fixed(0.1))(GREY, seed=1, index=0) - 0.5) / 0.1
    n = noise.size
    assert abs(noise.mean()) < 4 / np.sqrt(n) and abs(noise.std() - 1) < 4 / np.sqrt(2 * n)
    assert abs((noise**4).mean() - 3) < 4 * np.sqrt(96 / n)
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 4 / 128
    levels = augment.GaussianNoise(fixed(0.1))(np.full((128, 128, 3), 128, np.uint8), seed=1, index=0)
    np.testing.assert_allclose(levels, (128 + 25.5 * noise).clip(0, 255), atol=0.501)


def test_gaussian_noise_on_bytes_is_cut_and_on_floats_not():
    black = np.zeros((64, 64, 1), np.uint8)
    result = augment.GaussianNoise(fixed(0.2))(black, seed=1, index=0)
    assert result.dtype == np.uint8 and 0.45 < (result == 0).mean() < 0.56
    assert augment.GaussianNoise(fixed(0.2))(black.astype(np.float32), seed=1, index=0).min() < -0.4


def test_speckle_is_as_strong_as_the_light():
    image = GREY * np.array([0.0, 0.5, 1.0], np.float32)
    noise = augment.SpeckleNoise(fixed(0.2))(image, seed=1, index=0) - image
    n = noise[..., 0].size
    np.testing.assert_allclose(noise.std((0, 1)), [0, 0.05, 0.1], rtol=4 / np.sqrt(2 * n))


def test_salt_and_pepper():
    result = augment.SaltAndPepperNoise(fixed(0.2), salt=0.25)(np.full((200, 200, 3), 90, np.uint8), seed=1, index=0)
    assert np.all(result == result[..., :1])  # whole pixels
    n = 200 * 200
    for value, share in ((255, 0.05), (0, 0.15), (90, 0.8)):
        assert abs((result[..., 0] == value).mean() - share) < 4 * np.sqrt(share * (1 - share) / n)
    assert set(np.unique(result)) == {0, 90, 255}


def test_strengths_are_drawn_from_their_range():
    stds = [(augment.GaussianNoise((0.1, 0.3))(GREY[:64, :64], seed=1, index=i) - 0.5).std() for i in range(200)]
    assert 0.098 < min(stds) < 0.115 and 0.285 < max(stds) < 0.305
    assert abs(np.mean(stds) - 0.2) < 4 * 0.2 / np.sqrt(12 * 200)


def erased(transform, image, index):
    out = transform(image, seed=3, index=index)
    rows, columns = (np.flatnonzero((out != image).any((1 - axis, 2))) for axis in (0, 1))
    return out, rows, columns


def test_cutout():
    image = np.full((32, 40, 3), 7, np.uint8)
    corner_seen, centres = 0, []
    for index in range(400):
        out, rows, columns = erased(augment.Cutout((8, 10), fill_value=(0, 128, 255)), image, index)
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        assert np.all(out[top:bottom, left:right] == (0, 128, 255))
        assert (out != image).any(2).sum() == (bottom - top) * (right - left)
        if 0 < top and bottom < 32 and 0 < left and right < 40:
            assert (bottom - top, right - left) == (8, 10)
            centres.append(((top + bottom) / 2, (left + right) / 2))
        else:
            assert bottom - top <= 8 and right - left <= 10
            corner_seen += 1
    assert 60 < corner_seen < 300 and len(set(centres)) > 100
    out, _, _ = erased(augment.Cutout(4, count=3), image, 0)
    assert 16 < (out == 0).all(2).sum() <= 48


def test_random_erasing():
    image = np.full((40, 60, 3), 0.5, np.float32)
    areas, ratios, places = [], [], []
    for index in range(400):
        out, rows, columns = erased(augment.RandomErasing((0.1, 0.3), (0.5, 2), fill_value=0, p=1), image, index)
        height, width = len(rows), len(columns)
        assert (out == 0).all(2).sum() == height * width
        areas.append(height * width / 2400)
        ratios.append(height / width)
        places.append((rows[0] / (40 - height), columns[0] / (60 - width)))
    assert 0.09 < min(areas) < 0.12 and 0.28 < max(areas) < 0.32
    assert 0.4 < min(ratios) < 0.6 and 1.8 < max(ratios) < 2.2
    np.testing.assert_allclose(np.mean(places, axis=0), 0.5, atol=4.5 / np.sqrt(12 * 400))
    noisy = augment.RandomErasing(p=1)(image, seed=1, index=0)
    changed = noisy[(noisy != image).any(2)]
    assert len(np.unique(changed)) > 0.9 * changed.size and 0 <= changed.min() < changed.max() <= 1
    share = np.mean([(augment.RandomErasing()(image, seed=1, index=i) != image).any() for i in range(400)])
    assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(400)


def test_annotations_and_alpha():
    image = Image.fromarray(np.full((20, 20, 4), 200, np.uint8))
    out = augment.Cutout(8)(image, boxes=[(1, 2, 3, 4)], mask=np.ones((20, 20), np.uint8), seed=1, index=1)
    assert out.image.mode == "RGBA" and out.mask.all() and out.boxes.tolist() == [[1, 2, 3, 4]]
    assert np.asarray(augment.GaussianNoise(fixed(0.3))(image))[..., 3].min() == 200


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: augment.GaussianNoise(-1), "GaussianNoise: std must be a finite number >= 0, got -1"),
        (lambda: augment.SaltAndPepperNoise(2), r"SaltAndPepperNoise: amount must be .* within \[0, 1\]"),
        (lambda: augment.SaltAndPepperNoise(salt=2), r"salt must be in \[0, 1\], got 2"),
        (lambda: augment.Cutout(0), "Cutout: size must be an integer >= 1"),
        (lambda: augment.Cutout(3, fill_value="x"), 'Cutout: fill_value must be "noise", a number or'),
        (lambda: augment.Cutout(3, fill_value=(1, 2))(noise_image()), "fill_value must be one number or one for each"),
        (lambda: augment.RandomErasing(scale=(0.5, 2)), "RandomErasing: scale must be"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
