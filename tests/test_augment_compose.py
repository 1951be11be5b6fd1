"""Several geometric steps are one resampling; annotations follow; pipelines are data."""

import json
import warnings

import numpy as np
import pytest
from PIL import Image

from augment_oracle import FILL_MODES, noise_image, smooth_image
from cnncore import augment
from cnncore.augment import resample


def fixed(value):
    return (value, value)


def chains(mode):
    fill = {"fill_mode": mode, "fill_value": 127}
    return {
        "matrices": [
            augment.Rotation(fixed(20), **fill),
            augment.Scale(fixed(1.2), **fill),
            augment.Translation(fixed(0.1), fixed(-0.2), **fill),
            augment.Shear(fixed(-15), fixed(5), **fill),
            augment.Stretch(fixed(1.1), fixed(0.9), **fill),
        ],
        "crops": [
            augment.Pad(6, **fill),
            augment.HorizontalFlip(1),
            augment.CenterCrop((36, 44)),
            augment.Rotation(fixed(-33), **fill),
            augment.Transpose(1),
            augment.CenterCrop(30),
        ],
        "lens": [
            augment.Rotation(fixed(10), **fill),
            augment.LensDistortion(fixed(0.3), **fill),
            augment.Translation(fixed(0.07), fixed(0.05), **fill),
        ],
        "elastic": [
            augment.Scale(fixed(1.1), **fill),
            augment.ElasticDeformation(20, 4, **fill),
            augment.Rotation(fixed(15), **fill),
            augment.LensDistortion(fixed(-0.2), **fill),
        ],
        "perspective": [
            augment.Perspective(0.3, **fill),
            augment.Rotation(fixed(15), **fill),
            augment.HorizontalFlip(1),
        ],
        "magnified": [augment.CenterCrop(100), augment.Rotation(fixed(25), **fill), augment.Resize((150, 130))],
    }


def step_by_step(transforms, image, seed):
    """The same draws, but the pixels resampled after each step, in floats."""
    generator = augment.draws.generator(seed, 0, 0)
    sample = augment.Sample(image)
    for transform in transforms:
        transform.apply(sample, generator)
        sample = augment.Sample(sample.array())
    return sample.array()


def is_smooth(image, steps):
    """Where `image` has no kink or seam within reach of so many resamplings.

    Linear interpolation errs by an eighth of the second difference along each axis, so that differences up to 0.4 come
    to half a grey level in five steps.
    """
    rough = np.zeros(image.shape[:2], bool)
    rough[1:-1] |= (np.abs(np.diff(image, 2, axis=0)) > 0.4).any(2)
    rough[:, 1:-1] |= (np.abs(np.diff(image, 2, axis=1)) > 0.4).any(2)
    rough[:-1] |= (np.abs(np.diff(image, axis=0)) > 10).any(2)  # a seam at the very border
    rough[:, :-1] |= (np.abs(np.diff(image, axis=1)) > 10).any(2)
    for _ in range(steps + 1):
        wider = rough.copy()
        for axis in (0, 1):
            for shift in (-1, 1):
                wider |= np.roll(rough, shift, axis)
        rough = wider
    return ~rough


@pytest.mark.parametrize("mode", FILL_MODES)
@pytest.mark.parametrize("name", list(chains("edge")))
def test_composition_equals_the_steps_within_a_grey_level(name, mode):
    """Where the image is smooth; around the constant fill it fades to it."""
    exact = smooth_image(160, 208, rounded=False)
    if mode == "constant":
        y, x = (np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in exact.shape[:2])
        exact = (127 + (exact - 127) * y[:, None, None] * x[:, None]).astype(np.float32)
    transforms = chains(mode)[name]
    composed = augment.Compose(transforms)(exact, seed=4, index=0)
    steps = step_by_step(transforms, exact, 4)
    assert composed.shape == steps.shape
    smooth = is_smooth(composed, len(transforms)) & is_smooth(steps, len(transforms))
    assert smooth.mean() > 0.5
    assert np.abs(composed - steps)[smooth].max() <= 0.5
    assert np.abs(composed - steps).mean() < 0.5  # seams and kinks are thin
    # The result on bytes is that on floats, rounded: the other half of a grey level.
    image = np.rint(exact).astype(np.uint8)
    in_floats = augment.Compose(transforms)(image.astype(np.float32), seed=4, index=0)
    in_bytes = augment.Compose(transforms)(image, seed=4, index=0)
    np.testing.assert_allclose(in_bytes, in_floats, rtol=0, atol=0.5 + 1e-3)
    as_pillow = augment.Compose(transforms)(Image.fromarray(image), seed=4, index=0)
    np.testing.assert_array_equal(np.asarray(as_pillow), in_bytes)


def test_neighbours_become_one_resampling(monkeypatch):
    calls = []
    real = resample.Pipeline.image
    monkeypatch.setattr(
        resample.Pipeline,
        "image",
        lambda self, pixels: (calls.append(len(resample.merged(self.stages))), real(self, pixels))[1],
    )
    image = smooth_image()
    augment.Compose(
        [
            augment.Rotation(fixed(10)),
            augment.CenterCrop(30),
            augment.HorizontalFlip(1),
            augment.RandomApply(augment.Scale(fixed(1.5)), p=1),
            augment.OneOf([augment.Transpose(1)]),
            augment.RandomResizedCrop(20),
        ]
    )(image)
    assert calls == [1]  # nested ones too, and one matrix, for no canvas between them is left
    calls.clear()
    augment.Compose([augment.Rotation(fixed(10)), augment.Brightness(fixed(1.1)), augment.Scale(fixed(2))])(image)
    assert calls == [1, 1]
    calls.clear()
    augment.Compose([augment.Rotation(fixed(10)), augment.Scale(fixed(2), interpolation="bicubic")])(image)
    assert calls == [1, 1]


def test_one_resampling_keeps_what_several_blur():
    image = noise_image(64, 64)
    turns = [augment.Rotation(fixed(7), "wrap"), augment.Rotation(fixed(-7), "wrap")] * 5
    inside = (slice(24, 40),) * 2
    error = np.abs(augment.Compose(turns)(image) - image)[inside].mean()
    assert error < 1e-4 < 0.05 < np.abs(step_by_step(turns, image, 0) - image)[inside].mean()


MOVES = {
    "flip": augment.HorizontalFlip(1),
    "flop": augment.VerticalFlip(1),
    "transpose": augment.Transpose(1),
    "rotation": augment.Rotation(fixed(35)),
    "translation": augment.Translation(fixed(0.1), fixed(-0.12)),
    "in": augment.Scale(fixed(1.4)),
    "out": augment.Scale(fixed(0.6)),
    "shear": augment.Shear(fixed(20), fixed(10)),
    "stretch": augment.Stretch(fixed(1.3), fixed(0.8)),
    "perspective": augment.Perspective(0.3),
    "barrel": augment.LensDistortion(fixed(0.5)),
    "pincushion": augment.LensDistortion(fixed(-0.3)),
    "elastic": augment.ElasticDeformation(40, 8),
    "crop": augment.CenterCrop((80, 70)),
    "pad": augment.Pad((3, 20, 9, 4)),
    "resize": augment.Resize((150, 90)),
    "resized crop": augment.RandomResizedCrop(100, scale=(0.6, 0.9)),
    "random crop": augment.RandomCrop(90, padding=8),
    "chain": augment.Compose(
        [
            augment.Rotation(fixed(20)),
            augment.LensDistortion(fixed(0.3)),
            augment.Transpose(1),
            augment.ElasticDeformation(30, 8),
            augment.Scale(fixed(1.1)),
            augment.CenterCrop(90),
        ]
    ),
}


@pytest.mark.parametrize("name", list(MOVES))
def test_mask_boxes_and_keypoints_follow(name):
    """A bright disc: its mask, its box and its centre must be where the disc's pixels are."""
    height, width = 100, 120
    y, x = np.mgrid[0:height, 0:width] + 0.5
    discs = [(52.0, 44.0, 7.0), (70.0, 60.0, 6.0)]
    masks = sum((i + 1) * (np.hypot(x - cx, y - cy) <= r) for i, (cx, cy, r) in enumerate(discs)).astype(np.int32)
    image = np.repeat((masks > 0).astype(np.float32)[..., None], 3, axis=2)
    boxes = [(cx - r, cy - r, cx + r, cy + r) for cx, cy, r in discs]
    out = MOVES[name](image, mask=masks, boxes=boxes, keypoints=[(cx, cy) for cx, cy, _ in discs], seed=3, index=5)
    assert out.mask.dtype == masks.dtype and out.mask.shape == out.image.shape[:2]
    bright = out.image[..., 0] > 0.5
    assert (bright != (out.mask > 0)).mean() < 0.02
    y, x = np.mgrid[0 : out.mask.shape[0], 0 : out.mask.shape[1]] + 0.5
    assert out.kept_boxes.all() and out.visible_keypoints.all()
    for i, (point, box) in enumerate(zip(out.keypoints, out.boxes)):
        of_disc = out.mask == i + 1
        np.testing.assert_allclose(point, (x[of_disc].mean(), y[of_disc].mean()), atol=1.5)
        seen = np.array([x[of_disc].min(), y[of_disc].min(), x[of_disc].max(), y[of_disc].max()])
        assert np.all(box[:2] <= seen[:2] + 3) and np.all(box[2:] >= seen[2:] - 3), (box, seen)
        assert np.all(box[2:] - box[:2] <= 1.5 * (seen[2:] - seen[:2]) + 3)
    pillow = MOVES[name](
        Image.fromarray(np.uint8(image * 255)), mask=Image.fromarray(masks.astype(np.uint8)), seed=3, index=5
    )
    np.testing.assert_array_equal(np.asarray(pillow.mask), out.mask)
    assert pillow.mask.mode == "L" and pillow.boxes is None


def test_boxes_exactly():
    image = np.zeros((50, 100, 3), np.uint8)
    flip = augment.HorizontalFlip(1)(image, boxes=[(10, 5, 30, 20)], keypoints=[(10.5, 5.5)])
    np.testing.assert_array_equal(flip.boxes, [(70, 5, 90, 20)])
    np.testing.assert_array_equal(flip.keypoints, [(89.5, 5.5)])
    c = np.sqrt(0.5)
    turned = augment.Rotation(fixed(45))(image, boxes=[(45, 20, 55, 30), (0, 0, 2, 2)], keypoints=[(50, 25), (1, 1)])
    np.testing.assert_allclose(turned.boxes, [(50 - 10 * c, 25 - 10 * c, 50 + 10 * c, 25 + 10 * c)])
    assert turned.kept_boxes.tolist() == [True, False] and turned.visible_keypoints.tolist() == [True, False]
    assert len(turned.keypoints) == 2
    cut = augment.Translation(fixed(0.25), fixed(0))(image, boxes=[(60, 10, 90, 20), (80, 0, 90, 5)])
    np.testing.assert_allclose(cut.boxes, [(85, 10, 100, 20)])
    assert cut.kept_boxes.tolist() == [True, False]


def test_what_left_an_inner_canvas_does_not_come_back():
    image = np.zeros((40, 40, 3), np.uint8)
    away = augment.Compose([augment.Translation(fixed(0.5), fixed(0)), augment.Translation(fixed(-0.5), fixed(0))])
    out = away(image + 9, boxes=[(30, 10, 38, 20), (2, 2, 8, 8)], keypoints=[(35, 15), (5, 5)])
    assert out.kept_boxes.tolist() == [False, True] and out.visible_keypoints.tolist() == [False, True]
    np.testing.assert_allclose(out.boxes, [(2, 2, 8, 8)])
    assert np.all(out.image[:, 20:] == 0) and np.all(out.image[:, :20] == 9)

    halves = augment.Compose([away.transforms[0], augment.GaussianBlur((1, 1)), away.transforms[1]])  # two resamplings
    out = halves(image, boxes=[(30, 10, 38, 20), (2, 2, 8, 8)], keypoints=[(35, 15), (5, 5)])
    assert out.kept_boxes.tolist() == [False, True] and out.visible_keypoints.tolist() == [False, True]


def test_no_boxes():
    out = augment.Rotation(20)(np.zeros((9, 9, 3), np.uint8), boxes=[], keypoints=np.empty((0, 2)))
    assert out.boxes.shape == (0, 4) and out.keypoints.shape == (0, 2)


def test_mask_value_and_classes():
    mask = np.random.default_rng(0).choice([3, 250], (30, 30)).astype(np.uint8)
    out = augment.Rotation(fixed(30), mask_value=255)(noise_image(30, 30), mask=mask)
    assert set(np.unique(out.mask)) == {3, 250, 255}
    inside = mask > 100
    for kind, dtype in ((inside, bool), (mask.astype(np.int64) + 2**60, np.int64), (mask / 7, np.float64)):
        moved = augment.Rotation(fixed(30), "reflect")(noise_image(30, 30), mask=kind).mask
        assert moved.dtype == dtype and set(np.unique(moved)) == set(np.unique(kind))
    binary = augment.Rotation(fixed(30))(noise_image(30, 30), mask=Image.fromarray(inside)).mask
    assert binary.mode == "1" and set(np.unique(binary)) == {False, True}
    palette = Image.fromarray(mask).convert("P")
    assert augment.HorizontalFlip(1)(noise_image(30, 30), mask=palette).mask.getpalette() == palette.getpalette()


def test_batch():
    batch = np.stack([smooth_image(seed=i) for i in range(4)])
    pipeline = augment.Compose([augment.Rotation(20), augment.HorizontalFlip()])
    out = pipeline(batch, mask=batch[..., 0], boxes=[[(1, 1, 9, 9)]] * 4, seed=1, epoch=2, indices=[9, 4, 7, 8])
    for i, number in enumerate([9, 4, 7, 8]):
        one = pipeline(batch[i], mask=batch[i, ..., 0], boxes=[(1, 1, 9, 9)], seed=1, epoch=2, index=number)
        np.testing.assert_array_equal(out.image[i], one.image)
        np.testing.assert_array_equal(out.mask[i], one.mask)
        np.testing.assert_array_equal(out.boxes[i], one.boxes)
        np.testing.assert_array_equal(out.kept_boxes[i], one.kept_boxes)
    assert out.keypoints is None and pipeline(batch[:0]).shape == batch[:0].shape
    with pytest.raises(ValueError, match="mask must hold one entry for each of the 4 images, got 3"):
        pipeline(batch, mask=batch[:3, ..., 0])
    with pytest.raises(ValueError, match=r"Transpose: the images of a batch must come out equally large"):
        augment.Transpose(0.5)(np.repeat(batch, 5, axis=0), seed=1, indices=range(20))


def test_input_is_never_written_to():
    image = smooth_image()
    kept = image.copy()
    everything = augment.Compose(
        [
            augment.GaussianNoise(),
            augment.Cutout(9),
            augment.ColorJitter(0.5, 0.5, 0.5, 0.1),
            augment.Rotation(10),
            augment.RandomErasing(p=1),
            augment.HorizontalFlip(),
        ]
    )
    for transform in (everything, augment.Identity(), augment.HorizontalFlip(1), augment.CenterCrop(9)):
        result = transform(image)
        np.testing.assert_array_equal(image, kept)
        result[...] = 0
        np.testing.assert_array_equal(image, kept)
        picture = Image.fromarray(kept)
        transform(picture).paste(0, (0, 0, 9, 9))
        np.testing.assert_array_equal(np.asarray(picture), kept)


def test_one_of_and_random_apply():
    image = np.zeros((4, 4, 1), np.uint8)
    choice = augment.OneOf([augment.Pad(1), augment.Pad(2), augment.Pad(3)], weights=[1, 0, 3])
    sizes = [choice(image, seed=2, index=i).shape[0] for i in range(2000)]
    assert set(sizes) == {6, 10}
    assert abs(sizes.count(6) / 2000 - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 2000)
    maybe = augment.RandomApply(augment.Pad(1), p=0.3)
    assert abs(np.mean([maybe(image, seed=2, index=i).shape[0] == 6 for i in range(2000)]) - 0.3) < 0.041
    for bad, message in (([], "must hold at least one"), ("Pad", "must be a list"), ([3], "must be a Transform")):
        with pytest.raises(ValueError, match=message):
            augment.OneOf(bad)
    for weights in ([1], [0, 0], [-1, 2]):
        with pytest.raises(ValueError, match="weights must"):
            augment.OneOf([augment.Pad(1), augment.Pad(2)], weights)


EXAMPLES = {
    "RandomCrop": ((8,), {"padding": 2}),
    "CenterCrop": ((8,), {}),
    "Pad": ((3,), {}),
    "Resize": ((9,), {}),
    "RandomResizedCrop": ((8,), {}),
    "Cutout": ((4,), {"fill_value": [1, 2, 3]}),
    "RandomApply": ((augment.Hue(),), {}),
    "Compose": (([augment.Rotation(9), augment.OneOf([augment.Hue(), augment.Gamma()], [1, 2])],), {}),
    "OneOf": (([augment.Rotation(9), augment.Pad(1)], [1, 2]), {}),
    "Rotation": ((), {"fill_value": [1, 2, 3]}),
    "RandAugment": ((1, 5), {"operations": ["Rotate", "Color"]}),
}


@pytest.mark.parametrize("name", [n for n in augment.__all__ if n in {c.__name__ for c in augment._TRANSFORMS}])
def test_every_transform_is_data(name):
    arguments, options = EXAMPLES.get(name, ((), {}))
    transform = getattr(augment, name)(*arguments, **options)
    stored = json.dumps(augment.serialize(transform))
    again = augment.deserialize(json.loads(stored))
    assert type(again) is type(transform) and json.dumps(augment.serialize(again)) == stored
    image = smooth_image(12, 14)
    for index in range(3):
        np.testing.assert_array_equal(transform(image, seed=1, index=index), again(image, seed=1, index=index))
    assert (transform.__doc__ or "").strip() and repr(transform).startswith(name + "(")


def test_data_is_checked():
    with pytest.raises(ValueError, match="augmentation 'Rotate' is unknown.*did you mean"):
        augment.get("Rotate")
    with pytest.raises(ValueError, match="Rotation: config must match the arguments"):
        augment.deserialize({"class_name": "Rotation", "config": {"angle": 3}})
    with pytest.raises(ValueError, match="a transform must be a Transform"):
        augment.Compose([lambda image: image])

    class Negative(augment.Transform):
        def transform(self, sample, generator):
            sample.pixels = 255 - sample.array()

    stored = augment.serialize(augment.Compose([Negative()]))
    with pytest.raises(ValueError, match="'Negative' is unknown"):
        augment.deserialize(stored)
    again = augment.deserialize(stored, {"Negative": Negative})
    assert np.all(again(np.zeros((2, 2, 3), np.uint8)) == 255)


def test_digits_must_not_be_flipped():
    with pytest.warns(augment.LabelWarning, match="HorizontalFlip must not be used for mnist: it mirrors them"):
        augment.Compose([augment.Rotation(10), augment.HorizontalFlip()], dataset="mnist")
    with pytest.warns(augment.LabelWarning):
        found = augment.check(
            augment.Compose(
                [
                    augment.OneOf([augment.VerticalFlip(), augment.Transpose()]),
                    augment.RandomApply(augment.Rotation(180)),
                    augment.TrivialAugment(),
                ]
            ),
            dataset="digits",
        )
    assert [sentence.split()[0] for sentence in found] == ["VerticalFlip", "Transpose", "Rotation", "TrivialAugment"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fine = augment.Compose(
            [
                augment.Rotation(15),
                augment.ElasticDeformation(),
                augment.RandAugment(),
                augment.HorizontalFlip(0),
                augment.RandomApply(augment.VerticalFlip(1), p=0),
            ],
            dataset="mnist",
        )
        assert augment.check(fine, "svhn") == []
        assert augment.check(augment.HorizontalFlip(), "cifar10") == []


@pytest.mark.parametrize("cls", [augment.RandAugment, augment.TrivialAugment])
def test_policies_use_all_of_their_table(cls, monkeypatch):
    used = {}
    real = cls.operation

    def noted(self, name, strength, sign, size):
        used.setdefault(name, set()).add((round(strength, 6), sign))
        return real(self, name, strength, sign, size)

    monkeypatch.setattr(cls, "operation", noted)
    policy = cls()
    image = smooth_image(16, 16)
    for index in range(1200):
        policy(image, seed=1, index=index)
    assert set(used) == set(cls.table) and len(cls.table) == 14
    strengths = {strength for pairs in used.values() for strength, _ in pairs}
    if cls is augment.RandAugment:
        assert strengths == {0.3}
        assert all({sign for _, sign in pairs} == {-1, 1} for pairs in used.values())
    else:
        assert len(strengths) == 31 and min(strengths) == 0 and max(strengths) == 1


def test_policy_strengths():
    policy = augment.RandAugment(magnitude=30)
    assert policy.operation("Rotate", 1.0, -1, (9, 9)).degrees == (-30, -30)
    assert policy.operation("Brightness", 1.0, -1, (9, 9)).factor == pytest.approx((0.1, 0.1))
    assert policy.operation("Posterize", 1.0, 1, (9, 9)).bits == (4, 4)
    assert policy.operation("Solarize", 0.0, 1, (9, 9)).threshold == (256, 256)
    shift = augment.TrivialAugment(fill_mode="reflect").operation("TranslateY", 0.5, 1, (200, 100))
    assert shift.y == (0.16, 0.16) and shift.x == (0, 0) and shift.fill_mode == "reflect"
    image = smooth_image(20, 24)
    for name in augment.RandAugment.table:  # at strength 0 none but the stretching of values changes anything
        if name not in ("AutoContrast", "Equalize"):
            np.testing.assert_array_equal(policy.operation(name, 0.0, 1, (24, 20))(image), image)
    with pytest.raises(ValueError, match="magnitude must be below levels, 31, got 31"):
        augment.RandAugment(magnitude=31)
    with pytest.raises(ValueError, match="each of operations must be one of"):
        augment.RandAugment(operations=["Flip"])
