"""Statistics, damaged and repeated files, contact sheets, and Keras' image_dataset_from_directory."""

import os
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from cnncore import data, utils
from cnncore.data.report import difference_hash
from data_files import bad_files, encoded, pattern, photo_folder, write

pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
FLOWERS = os.path.join(os.environ.get("CNNCORE_DATA", ""), "flowers")


def test_check_files(tmp_path):
    photo_folder(tmp_path, each=3)
    bad = bad_files(tmp_path / "dog")
    write(tmp_path / "cat" / "wrong.jpg", encoded(pattern(70, 90), "PNG"))
    write(tmp_path / "cat" / "wrong.txt", encoded(pattern(2, 3), "BMP"))
    write(tmp_path / "emu" / "notes.txt", b"nothing to see")
    photos = data.ImageFolder(tmp_path)
    reports = [data.check_files(photos, workers=w, verbose=0) for w in (0, 3)]
    for report in reports:
        # EPS is known by its content only: drawing.eps is no image by its name
        assert {e.path for e in report.unreadable} == set(bad) - {str(tmp_path / "dog" / "drawing.eps")}
        assert all(bad[e.path] in e.reason for e in report.unreadable)
        assert report.mislabelled == [
            (str(tmp_path / "cat" / "wrong.jpg"), "PNG"),
            (str(tmp_path / "cat" / "wrong.txt"), "BMP"),
        ]
        assert report.images == len(photos) == 9 + 2 + len(bad) - 1 and report.formats == {
            "JPEG": 9,
            "PNG": 1,
            "BMP": 1,
        }
        assert report.smallest == (2, 3) and report.largest == (70, 90)
        assert [os.path.basename(p) for p in report.ignored] == ["drawing.eps", "notes.txt"]
        assert len(report.readable) == 11
        lines = list(report.lines())
        assert lines[0].startswith(f"{len(photos)} images, {len(bad) - 1} of them unreadable: 9 JPEG")
        assert sum(line.startswith("unreadable: ") for line in lines) == len(bad) - 1
        assert len([i for i in report.readable if photos[i]]) == 11
    assert list(reports[0].lines()) == list(reports[1].lines())


def test_channel_statistics_are_exact(tmp_path):
    folder = photo_folder(tmp_path, each=3, suffix=".png")
    photos = data.ImageFolder(folder)
    pixels = np.concatenate([photos[i][0].reshape(-1, 3) for i in range(len(photos))]).astype(np.float64)
    for workers in (0, 2):
        found = data.channel_statistics(photos, workers)
        assert (found.images, found.pixels) == (9, len(pixels))
        np.testing.assert_allclose(found.mean, pixels.mean(axis=0), rtol=1e-14)
        np.testing.assert_allclose(found.std, pixels.std(axis=0), rtol=1e-12)
        np.testing.assert_array_equal(found.min, pixels.min(axis=0))
        np.testing.assert_array_equal(found.max, pixels.max(axis=0))


def test_channel_statistics_of_floats_and_of_constants():
    generator = np.random.default_rng(0)
    x = (1e6 + generator.normal(0, 1, (40, 6, 7, 2))).astype(np.float64)  # where a sum of squares would lose all digits
    found = data.channel_statistics(data.ArrayDataset(x))
    np.testing.assert_allclose(found.mean, x.mean(axis=(0, 1, 2)), rtol=1e-14)
    np.testing.assert_allclose(found.std, (x - 1e6).std(axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_array_equal([found.min, found.max], [x.min(axis=(0, 1, 2)), x.max(axis=(0, 1, 2))])
    grey = data.channel_statistics(data.ArrayDataset(np.full((3, 2, 2), 200, np.uint8)))
    assert (grey.mean, grey.std, grey.min, grey.max) == (200, 0, 200, 200)

    class Mixed(data.ArrayDataset):
        def image(self, index, at_least=None):
            return np.zeros((2, 2, 1 + index), np.uint8)

    with pytest.raises(ValueError, match='1 channels of uint8 like the first, got 2 channels .* in "sample 1"'):
        data.channel_statistics(Mixed(np.zeros((2, 2, 2))))


def test_class_counts(tmp_path):
    photos = data.ImageFolder(photo_folder(tmp_path, each=2), class_names=["ape", "cat", "dog", "emu"])
    assert data.class_counts(photos) == {"ape": 0, "cat": 2, "dog": 2, "emu": 2}
    assert data.class_counts(data.ArrayDataset(np.zeros((3, 2, 2)), [0, 2, 2])) == {0: 1, 1: 0, 2: 2}
    with pytest.raises(ValueError, match="labels must be below the 1 class_names, got 2"):
        data.class_counts(data.ArrayDataset(np.zeros((3, 2, 2)), [0, 2, 2], ["a"]))


# ------------------------------------------------------------------------------------------------- duplicates


def scene(seed, height=96, width=128):
    """A picture with structure at the scale of the hash, different for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def test_duplicates_across_splits(tmp_path):
    for i in range(12):
        write(tmp_path / "train" / "a" / f"{i:02}.png", encoded(scene(i)))
    for i in range(20, 26):
        write(tmp_path / "val" / "a" / f"{i}.png", encoded(scene(i)))
    write(tmp_path / "val" / "a" / "copy.png", encoded(scene(3)))
    write(tmp_path / "val" / "a" / "recompressed.jpg", encoded(scene(5), "JPEG", quality=60))
    smaller = np.asarray(Image.fromarray(scene(7)).resize((60, 44), Image.Resampling.LANCZOS))
    write(tmp_path / "val" / "a" / "smaller.png", encoded(smaller))
    write(tmp_path / "train" / "a" / "twice.png", encoded(scene(9)))
    for i in range(3):
        write(tmp_path / "val" / "a" / f"flat{i}.png", encoded(np.full((20, 20, 3), 80 + i, np.uint8)))
        write(tmp_path / "val" / "a" / f"damaged{i}.png", b"damaged %d" % i)
    train, val = data.ImageFolder(tmp_path / "train"), data.ImageFolder(tmp_path / "val")
    found = data.find_duplicates({"train": train, "val": val})
    named = {tuple(os.path.basename(m.name) for m in d.members): (d.exact, d.splits) for d in found}
    assert named == {
        ("03.png", "copy.png"): (True, ["train", "val"]),
        ("05.png", "recompressed.jpg"): (False, ["train", "val"]),
        ("07.png", "smaller.png"): (False, ["train", "val"]),
        ("09.png", "twice.png"): (True, ["train"]),
    }
    for entry in found:
        for member in entry.members:
            assert {"train": train, "val": val}[member.split].paths[member.index] == member.name
    exact = data.find_duplicates({"train": train, "val": val}, distance=None, workers=0)
    assert [d.members for d in exact] == [d.members for d in found if d.exact]


def test_duplicates_of_arrays():
    x = np.stack([scene(i, 32, 32) for i in range(30)])
    x[20] = x[4]
    x[25] = x[4] // 2 + 30  # another exposure
    found = data.find_duplicates(data.ArrayDataset(x))
    assert [[m.index for m in d.members] for d in found] == [[4, 20, 25]]
    assert not found[0].exact and found[0].splits == ["data"] and found[0].members[1].name == "sample 20"
    halves = {"a": data.ArrayDataset(x[:15]), "b": data.ArrayDataset(x[15:])}
    assert [d.splits for d in data.find_duplicates(halves, distance=None)] == [["a", "b"]]
    with pytest.raises(ValueError, match="distance must be at most 32 bits"):
        data.find_duplicates(halves, distance=33)


@pytest.mark.parametrize("distance", [0, 1, 4, 9])
def test_near_hashes_are_all_found(distance):
    from cnncore.data.report import _near

    generator = np.random.default_rng(distance)
    bits = generator.integers(0, 2, (12, 128), np.uint8).repeat(25, axis=0)
    for row in bits:
        flipped = generator.choice(128, generator.integers(0, 9), replace=False)
        row[flipped] ^= 1
    bits[:40, :64] = 0  # a band that many share
    apart = (bits[:, None] != bits[None]).sum(axis=2)

    def components(pairs):
        parent = list(range(len(bits)))

        def root(i):
            while parent[i] != i:
                i = parent[i]
            return i

        for a, b in pairs:
            parent[max(root(a), root(b))] = min(root(a), root(b))
        return [root(i) for i in range(len(bits))]

    expected = components(zip(*np.nonzero(apart <= distance)))
    pairs = list(_near(np.packbits(bits, axis=1), distance))
    assert components(pairs) == expected and all(apart[a, b] <= distance for a, b in pairs)


def test_difference_hash_by_definition():
    array = scene(1, 72, 72)
    grey = np.asarray(Image.fromarray(array).convert("L"), float)
    across = np.array([[grey[9 * i : 9 * i + 9, 8 * j : 8 * j + 8].mean() for j in range(9)] for i in range(8)])
    down = np.array([[grey[8 * i : 8 * i + 8, 9 * j : 9 * j + 9].mean() for j in range(8)] for i in range(9)])
    bits = [*(np.diff(across, axis=1) > 0).ravel(), *(np.diff(down, axis=0) > 0).ravel()]
    np.testing.assert_array_equal(np.unpackbits(difference_hash(Image.fromarray(array))), bits)
    assert difference_hash(np.full((30, 30, 3), 7.0)) is None and difference_hash(np.zeros((3, 3, 1), np.uint8)) is None


@pytest.mark.skipif(not os.path.isdir(FLOWERS), reason="CNNCORE_DATA names no folder with flowers")
def test_flowers_have_no_leak():
    train = data.ImageFolder(os.path.join(FLOWERS, "train"))
    val = data.ImageFolder(os.path.join(FLOWERS, "val"), class_names=train.class_names)
    assert data.class_counts(train) == dict.fromkeys(["daisy", "dandelion", "roses", "sunflowers", "tulips"], 100)
    found = data.find_duplicates({"train": train, "val": val})
    assert [d for d in found if len(d.splits) > 1] == []
    # one photo is in the data set twice, under roses and under tulips
    assert [{m.name.split(os.sep)[-2] for m in d.members} for d in found] == [{"roses", "tulips"}]


def test_memory_and_order_of_a_large_folder(tmp_path):
    """A scan keeps the paths and nothing else. CNNCORE_TEST_SCALE=20 makes it 100,000 files."""
    from conftest import TEST_SCALE

    n = int(5000 * max(1.0, TEST_SCALE))
    source = write(tmp_path / "one.png", encoded(pattern(2, 2)))
    for k in range(5):
        (tmp_path / "set" / str(k)).mkdir(parents=True)
    for i in range(n):
        target = tmp_path / "set" / str(i % 5) / f"{i:07}.png"
        if i % 1000 == 0:  # file systems limit the links to one file
            source = write(target, encoded(pattern(2, 2, seed=i)))
        else:
            os.link(source, target)
    tracemalloc.start()
    try:
        photos = data.ImageFolder(tmp_path / "set", verbose=0)
        kept, peak = tracemalloc.get_traced_memory()
        path = len(photos.paths[0]) + 49 + 8  # a str, and its place in the list
        assert len(photos) == n and kept < n * (path + 40) + 200_000 and peak < 2.5 * kept
        tracemalloc.reset_peak()
        report = data.check_files(photos, workers=2, verbose=0)
        assert len(report.readable) == n and tracemalloc.get_traced_memory()[1] - kept < 100 * n + 1_000_000
    finally:
        tracemalloc.stop()
    assert photos.paths == sorted(photos.paths)


def test_long_scans_have_a_progress_bar(tmp_path, monkeypatch, capsys):
    photo_folder(tmp_path, each=4)
    from cnncore.data import slow_bar

    data.ImageFolder(tmp_path)
    assert capsys.readouterr().out == ""  # quick
    monkeypatch.setattr(slow_bar, "_DELAY_S", 0)
    photos = data.ImageFolder(tmp_path)
    data.check_files(photos)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "Scanning" in lines[0] and "12/12" in lines[0] and "files/s" in lines[0]
    assert "Checking" in lines[1] and "12/12" in lines[1] and "images/s" in lines[1]
    data.ImageFolder(tmp_path, verbose=0)
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="verbose"):
        data.ImageFolder(tmp_path, verbose=2)


# ------------------------------------------------------------------------------------------------- contact sheets


def test_contact_sheet(tmp_path):
    images = [np.full((16, 16, 3), v, np.uint8) for v in (10, 90, 170)] + [np.full((8, 16, 1), 0.5, np.float32)]
    sheet = data.contact_sheet(images, columns=2, tile=32)
    assert sheet.mode == "RGB" and sheet.size == (2 * 36 + 4, 2 * 36 + 4)
    pixels = np.asarray(sheet)
    for value, (row, column) in zip((10, 90, 170), ((0, 0), (0, 1), (1, 0))):
        assert (pixels[4 + 36 * row : 36 + 36 * row, 4 + 36 * column : 36 + 36 * column] == value).all()
    tile = pixels[40:72, 40:72]
    assert (tile[8:24] == 128).all() and (tile[:8] == 255).all() and (tile[24:] == 255).all()
    labelled = data.contact_sheet(np.stack(images[:3]), [0, 1, 7], ["cat", "dög 猫"], tile=32)
    assert np.asarray(labelled)[36:50].min() < 255  # there is ink below the tiles
    labelled.save(tmp_path / "sheet.png")
    assert data.contact_sheet(np.stack(images[:3]), np.eye(3)[:3] * 0.7 + 0.1, tile=32).size == labelled.size


def test_pictures_of_floats():
    from cnncore.data.contact_sheet import _bytes, _label

    assert _bytes(np.array([[0, 0.5, 1]])).tolist() == [[0, 128, 255]]
    assert _bytes(np.array([[0, 100.4, 255]])).tolist() == [[0, 100, 255]]
    assert _bytes(np.array([[-1, 0, 1, 3.0]])).tolist() == [[0, 64, 128, 255]]
    assert _label(1, ["a", "b"]) == "b" and _label(5, ["a"]) == "5" and _label([0, 1], ["a", "b"]) == "b"
    assert _label([0.3, 0.7], ["a", "b"]) == "b 70%, a 30%" and _label(0.25, None) == "0.25"


def test_augmentation_sheet(tmp_path):
    photos = data.ImageFolder(photo_folder(tmp_path, each=3))
    calls = []

    def invert(image, *, seed, epoch, index):
        calls.append((seed, epoch, index))
        return 255 - np.asarray(image)

    sheet = data.augmentation_sheet(photos, invert, count=2, variants=3, image_size=32, tile=32, seed=4)
    assert calls == [(4, e, i) for i in (0, 8) for e in range(3)]
    assert sheet.size == (4 * 36 + 4, 2 * 50 + 4)
    first = np.asarray(sheet)[4:36]
    np.testing.assert_array_equal(255 - first[:, 4:36], first[:, 40:72])
    np.testing.assert_array_equal(first[:, 4:36], next(iter(data.Loader(photos, image_size=32)))[0][0])


def test_sheet_errors():
    image = np.zeros((4, 4, 3), np.uint8)
    for arguments, message in (
        (([],), "at least one image"),
        (([image], [1, 2]), "each of the 1 images, got 2"),
        (([np.zeros((4, 4, 2))],), "1, 3 or 4"),
        (([image], [1], None, ["a"]), "captions"),
    ):
        with pytest.raises(ValueError, match=message):
            data.contact_sheet(*arguments)


# ------------------------------------------------------------------------------------------------- Keras


@pytest.fixture
def folder(tmp_path):
    photo_folder(tmp_path, each=5)
    write(tmp_path / "dog" / "b" / "x.JPG", encoded(pattern(9, 9), "JPEG"))
    write(tmp_path / "dog" / "notes.txt", b"")
    (tmp_path / "void").mkdir()
    return tmp_path


def test_image_dataset_from_directory(folder, capsys):
    batches = utils.image_dataset_from_directory(str(folder), image_size=(20, 24), batch_size=6, shuffle=False)
    assert capsys.readouterr().out == "Found 16 files belonging to 4 classes.\n"
    assert batches.class_names == ["cat", "dog", "emu", "void"] and len(batches) == 3 and len(batches.file_paths) == 16
    (x, y), *_ = batches
    assert x.dtype == np.float32 and x.shape == (6, 20, 24, 3) and x.max() > 1 and y.dtype == np.int32
    assert y.tolist() == [0] * 5 + [1]
    one_hot = utils.image_dataset_from_directory(
        folder, label_mode="categorical", shuffle=False, verbose=False, batch_size=16
    )
    assert next(iter(one_hot))[1].tolist() == np.eye(4)[[0] * 5 + [1] * 6 + [2] * 5].tolist()
    assert next(iter(one_hot))[0].shape == (16, 256, 256, 3)
    binary = utils.image_dataset_from_directory(
        folder,
        label_mode="binary",
        class_names=["emu", "cat"],
        shuffle=False,
        verbose=False,
        color_mode="grayscale",
        image_size=8,
    )
    x, y = next(iter(binary))
    assert x.shape == (10, 8, 8, 1) and y.tolist() == [[0]] * 5 + [[1]] * 5 and y.dtype == np.float32
    images = utils.image_dataset_from_directory(folder, labels=None, color_mode="rgba", batch_size=None, verbose=False)
    assert next(iter(images)).shape == (256, 256, 4) and len(images) == 16
    listed = utils.image_dataset_from_directory(
        folder, labels=[3] * 8 + [5] * 8, verbose=False, shuffle=False, image_size=8
    )
    assert next(iter(listed))[1].tolist() == [3] * 8 + [5] * 8 and listed.class_names == ["3", "5"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "options, resize",
    [({}, "stretch"), (dict(crop_to_aspect_ratio=True), "crop"), (dict(pad_to_aspect_ratio=True), "pad")],
)
def test_image_dataset_resizes(folder, options, resize):
    batches = utils.image_dataset_from_directory(
        folder, image_size=(12, 30), shuffle=False, verbose=False, interpolation="bicubic", **options
    )
    x, _ = next(iter(batches))
    expected = data.resized(Image.open(batches.file_paths[0]), (12, 30), resize, "bicubic")
    np.testing.assert_array_equal(x[0], np.asarray(expected, np.float32))


def test_image_dataset_shuffles_and_splits_like_keras(folder, capsys):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    pytest.importorskip("keras")
    from keras.src.utils import dataset_utils

    formats = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
    for seed in (0, 7):
        paths, labels, names = dataset_utils.index_directory(str(folder), "inferred", formats, seed=seed)
        for split in (0.2, 0.5):
            both = utils.image_dataset_from_directory(
                folder, validation_split=split, subset="both", seed=seed, image_size=8
            )
            for mine, name in zip(both, ("training", "validation")):
                theirs = dataset_utils.get_training_or_validation_split(paths, labels, split, name)
                assert [os.path.normpath(p) for p in theirs[0]] == mine.file_paths and mine.class_names == names
                assert mine.dataset.labels.tolist() == list(theirs[1])
                one = utils.image_dataset_from_directory(folder, validation_split=split, subset=name, seed=seed)
                assert one.file_paths == mine.file_paths
    assert "Using 8 files for validation." in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(label_mode="one-hot"), "label_mode must be one of"),
        (dict(color_mode="bgr"), "color_mode must be one of"),
        (dict(interpolation="gaussian"), "interpolation must be one of"),
        (dict(data_format="channels_first"), "data_format"),
        (dict(crop_to_aspect_ratio=True, pad_to_aspect_ratio=True), "must not both"),
        (dict(labels=[1]), "each of the 16 files"),
        (dict(labels="yes"), "labels must be"),
        (dict(labels=[1] * 16, class_names=["a"]), "class_names must be left out"),
        (dict(class_names=["bee"]), "class_names must be folders"),
        (dict(label_mode="binary"), "two classes, got 4"),
        (dict(validation_split=0.5), "must be given together"),
        (dict(subset="training"), "must be given together"),
        (dict(validation_split=1.5, subset="both"), "between 0 and 1"),
        (dict(validation_split=0.5, subset="test"), "subset"),
        (dict(validation_split=0.5, subset="training"), "seed must be given"),
        (dict(validation_split=0.01, subset="both"), "leaves one part empty"),
        (dict(shuffle=3), "shuffle must be"),
        (dict(image_size="big"), "image_size"),
        (dict(batch_size=0), "batch_size"),
    ],
)
def test_image_dataset_errors(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        utils.image_dataset_from_directory(folder, verbose=False, **arguments)


def test_image_dataset_of_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match="must hold .bmp, .gif, .jpeg, .jpg, .png files, in one folder for each class"):
        utils.image_dataset_from_directory(tmp_path)
