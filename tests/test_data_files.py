"""Reading image files, folders and tables."""

import os
import warnings

import numpy as np
import pytest
from PIL import Image

from cnncore import data
from cnncore.data.decode import identify, is_mislabelled, shown
from data_files import bad_files, encoded, pattern, photo_folder, png, write

pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")


def read(path, channels=3, at_least=None, **options):
    return np.asarray(data.Decoder(channels, **options).read(path, at_least))


# ------------------------------------------------------------------------------------------------- modes and colours


def test_grey_rgb_and_alpha_keep_their_values(tmp_path):
    grey, colour, alpha = pattern(5, 7, 1), pattern(5, 7, 3), pattern(5, 7, 4)
    for array in (grey, colour, alpha):
        path = write(tmp_path / f"{array.shape[2]}.png", encoded(array))
        np.testing.assert_array_equal(read(path, array.shape[2]).reshape(array.shape), array, strict=True)
    np.testing.assert_array_equal(read(tmp_path / "1.png", 3), np.repeat(grey, 3, axis=2))
    np.testing.assert_array_equal(read(tmp_path / "3.png", 4)[..., 3], 255)
    luma = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read(tmp_path / "3.png", 1) - luma).max() <= 1


@pytest.mark.parametrize("background", [(255, 255, 255), (10, 200, 0)])
def test_transparency_is_laid_over_the_background(tmp_path, background):
    array = pattern(9, 8, 4)
    array[0, :, 3], array[1, :, 3] = 0, 255
    path = write(tmp_path / "a.png", encoded(array))
    share = array[..., 3:] / 255
    expected = array[..., :3] * share + np.array(background) * (1 - share)
    assert np.abs(read(path, background=background) - expected).max() <= 1
    np.testing.assert_array_equal(read(path, background=background)[0, 0], background)
    grey_alpha = np.stack([array[..., 0], array[..., 3]], axis=2)
    path = write(tmp_path / "la.png", png(8, 9, 8, 4, [row.tobytes() for row in grey_alpha]))
    expected = array[..., :1] * share + np.array(background) * (1 - share)
    assert np.abs(read(path, background=background) - expected).max() <= 1


def test_palettes_are_looked_up(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (16, 3), np.uint8)
    indices = np.random.default_rng(1).integers(0, 16, (6, 5), np.uint8)
    rows = [row.tobytes() for row in indices]
    path = write(tmp_path / "p.png", png(5, 6, 8, 3, rows, [(b"PLTE", colours.tobytes())]))
    np.testing.assert_array_equal(read(path), colours[indices])
    transparency = np.full(16, 255, np.uint8)
    transparency[3] = 0
    path = write(
        tmp_path / "t.png", png(5, 6, 8, 3, rows, [(b"PLTE", colours.tobytes()), (b"tRNS", transparency.tobytes())])
    )
    shown_colours = colours.copy()
    shown_colours[3] = 255
    np.testing.assert_array_equal(read(path), shown_colours[indices])
    assert (read(path, 4)[..., 3] == transparency[indices]).all()


def test_sixteen_bits_become_eight_by_rounding(tmp_path):
    values = np.linspace(0, 65535, 7 * 300).astype(np.uint16).reshape(7, 300)
    expected = np.rint(values.astype(np.float64) * 255 / 65535).astype(np.uint8)
    by_hand = png(300, 7, 16, 0, [row.astype(">u2").tobytes() for row in values])
    for name, content in (("a.png", by_hand), ("b.tiff", encoded(values, "TIFF"))):
        path = write(tmp_path / name, content)
        np.testing.assert_array_equal(read(path, 1), expected)
        np.testing.assert_array_equal(read(path, 3), np.repeat(expected[..., None], 3, axis=2))
    header = b"P5 300 7 65535\n" + values.astype(">u2").tobytes()
    np.testing.assert_array_equal(read(write(tmp_path / "c.pgm", header), 1), expected)
    colour = np.stack([values, values[::-1], values[:, ::-1]], axis=2)
    path = write(tmp_path / "rgb.png", png(300, 7, 16, 2, [row.astype(">u2").tobytes() for row in colour]))
    assert np.abs(read(path) - colour / 257.0).max() <= 1  # Pillow takes the upper byte


def test_other_modes(tmp_path):
    bits = pattern(8, 16, 1)[..., 0] > 127
    Image.fromarray(bits).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read(tmp_path / "bits.png", 1), bits * np.uint8(255))
    floats = np.linspace(0, 1, 60, dtype=np.float32).reshape(6, 10)
    path = write(tmp_path / "float.tiff", encoded(floats, "TIFF"))
    np.testing.assert_array_equal(read(path, 1), np.rint(floats.astype(np.float64) * 255).astype(np.uint8))
    cmyk = Image.fromarray(pattern(16, 16, 3)).convert("CMYK")
    cmyk.save(tmp_path / "cmyk.jpg", quality=100)
    assert np.abs(read(tmp_path / "cmyk.jpg").astype(int) - pattern(16, 16, 3)).mean() < 4
    cmyk.save(tmp_path / "cmyk.tiff")
    assert np.abs(read(tmp_path / "cmyk.tiff").astype(int) - pattern(16, 16, 3)).max() <= 4
    assert read(tmp_path / "cmyk.tiff", 1).shape == (16, 16)
    frames = [Image.fromarray(pattern(8, 8, 1, seed=s)[..., 0]) for s in (1, 2)]
    frames[0].save(tmp_path / "animation.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read(tmp_path / "animation.gif", 1), pattern(8, 8, 1, seed=1)[..., 0])


TURNS = [
    lambda a: a,
    lambda a: a[:, ::-1],
    lambda a: a[::-1, ::-1],
    lambda a: a[::-1],
    lambda a: a.transpose(1, 0, 2),
    lambda a: np.rot90(a, -1),
    lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    lambda a: np.rot90(a),
]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    array = pattern(24, 40)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(tmp_path / "a.png", encoded(array, "PNG", exif=exif))
    np.testing.assert_array_equal(read(path), TURNS[orientation - 1](array))
    for name, options in (("a.tiff", {}), ("a.tiff", {"compression": "tiff_lzw"}), ("a.webp", {"lossless": True})):
        path = write(tmp_path / name, encoded(array, name[2:].upper(), exif=exif, **options))
        np.testing.assert_array_equal(read(path), TURNS[orientation - 1](array))
    big = pattern(240, 400)
    path = write(tmp_path / "a.jpg", encoded(big, "JPEG", exif=exif, quality=95))
    expected = TURNS[orientation - 1](big)
    reduced = read(path, at_least=(60, 100) if orientation < 5 else (100, 60))
    assert reduced.shape == (*(n // 4 for n in expected.shape[:2]), 3)
    blocks = expected.reshape(reduced.shape[0], 4, reduced.shape[1], 4, 3).mean(axis=(1, 3))
    assert np.abs(reduced - blocks).mean() < 2


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_impossible_orientations_are_ignored(tmp_path):
    for value in (0, 9, 200):
        exif = Image.Exif()
        exif[0x0112] = value
        path = write(tmp_path / f"{value}.jpg", encoded(pattern(16, 24), "JPEG", exif=exif))
        assert read(path).shape == (16, 24, 3)
    path = write(tmp_path / "broken.jpg", encoded(pattern(16, 24), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))
    assert read(path).shape == (16, 24, 3)


@pytest.mark.parametrize("size", [(64, 64), (65, 67), (100, 333), (333, 100), (511, 513)])
def test_draft_mode_gives_at_least_the_wanted_size(tmp_path, size):
    height, width = size
    path = write(tmp_path / "a.jpg", encoded(pattern(*size), "JPEG"))
    for wanted in [(1, 1), (8, 8), (9, 12), (32, 32), (33, 33), (64, 20), (60, 64), (100, 100), (600, 1)]:
        shape = read(path, at_least=wanted).shape[:2]
        factor = next((k for k in (8, 4, 2) if height // k >= wanted[0] and width // k >= wanted[1]), 1)
        assert shape == (height // factor, width // factor)
    path = write(tmp_path / "a.png", encoded(pattern(*size)))
    assert read(path, at_least=(8, 8)).shape[:2] == size


# ------------------------------------------------------------------------------------------------- bad files


def test_bad_files_are_reported_with_path_and_reason(tmp_path):
    for path, reason in bad_files(tmp_path).items():
        with pytest.raises(data.UnreadableImage) as caught:
            read(path)
        assert caught.value.path == path and str(caught.value) == f'"{path}": {caught.value.reason}'
        assert reason in caught.value.reason, (path, caught.value.reason)
        assert "\n" not in str(caught.value)


def test_any_bytes_give_an_image_or_the_error(tmp_path):
    generator = np.random.default_rng(5)
    sources = [
        encoded(pattern(12, 10), f, **o)
        for f, o in (
            ("JPEG", {}),
            ("JPEG", {"progressive": True}),
            ("PNG", {}),
            ("GIF", {}),
            ("TIFF", {}),
            ("BMP", {}),
            ("PPM", {}),
            ("WEBP", {}),
            ("TGA", {}),
            ("ICO", {}),
            ("PCX", {}),
            ("SGI", {}),
        )
    ]
    path, readable = tmp_path / "damaged", 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of damaged metadata
        for source in sources:
            for _ in range(40):
                damaged = bytearray(source)
                for place in generator.integers(0, len(damaged), generator.integers(1, 8)):
                    damaged[place] = generator.integers(0, 256)
                path.write_bytes(
                    damaged[: generator.integers(1, len(damaged) + 1)] if generator.random() < 0.3 else damaged
                )
                try:
                    assert read(path, max_pixels=10**6).ndim == 3
                    readable += 1
                except data.UnreadableImage as error:
                    assert error.path == path
    assert 0 < readable < 40 * len(sources)


def test_max_pixels(tmp_path):
    path = write(tmp_path / "a.png", encoded(pattern(20, 30)))
    assert read(path, max_pixels=600).shape == (20, 30, 3)
    with pytest.raises(data.UnreadableImage, match="30 x 20 pixels, more than max_pixels=599"):
        read(path, max_pixels=599)


def test_decoder_arguments():
    for arguments, message in (
        (dict(channels=2), "channels must be one of 1, 3, 4"),
        (dict(background=3), "background"),
        (dict(background=(0, 0, 256)), "background"),
        (dict(max_pixels=0), "max_pixels"),
    ):
        with pytest.raises(ValueError, match=message):
            data.Decoder(**arguments)


def test_names_that_are_no_text_can_be_printed(tmp_path):
    folder = os.fsencode(tmp_path / "a")
    os.mkdir(folder)
    with open(folder + b"/\xff\xe9.jpg", "wb") as file:
        file.write(b"nothing")
    photos = data.ImageFolder(tmp_path)
    with pytest.raises(data.UnreadableImage, match="xff") as caught:
        photos[0]
    str(caught.value).encode("ascii")
    assert shown(photos.paths[0]).endswith("\\xff\\xe9.jpg")


# ------------------------------------------------------------------------------------------------- folders


def test_image_folder(tmp_path):
    photo_folder(tmp_path / "set")
    write(tmp_path / "set" / "dog" / "deep" / "er" / "x.PNG", encoded(pattern(5, 5)))
    write(tmp_path / "set" / "dog" / ".hidden.jpg", b"")
    write(tmp_path / "set" / ".cache" / "x.jpg", b"")
    write(tmp_path / "set" / "empty" / "notes.txt", b"no image here")
    write(tmp_path / "set" / "cat" / "photo-without-extension", encoded(pattern(5, 5), "JPEG"))
    write(tmp_path / "set" / "cat" / "really-a-png.dat", encoded(pattern(5, 5)))
    photos = data.ImageFolder(tmp_path / "set")
    assert photos.class_names == ["cat", "dog", "emu"] and len(photos) == 8 + 2 + 8 + 1 + 8
    assert np.bincount(photos.labels).tolist() == [10, 9, 8] and photos.labels.dtype == np.int64
    assert photos.paths == sorted(photos.paths[:10]) + photos.paths[10:18] + [photos.paths[18]] + photos.paths[19:]
    assert photos.paths[18].endswith("dog/deep/er/x.PNG")
    assert [os.path.basename(p) for p in photos.ignored] == ["notes.txt"]
    image, label = photos[-1]
    assert label == 2 and image.shape == (47, 56, 3) and image.dtype == np.uint8
    assert sum(1 for _ in photos) == len(photos)
    np.testing.assert_array_equal(photos[0][0], np.asarray(Image.open(photos.paths[0])))


def test_image_folder_keeps_the_numbers_of_other_classes(tmp_path):
    photo_folder(tmp_path / "train")
    photo_folder(tmp_path / "val", classes=("dog",), each=2)
    names = data.ImageFolder(tmp_path / "train").class_names
    val = data.ImageFolder(tmp_path / "val", class_names=names)
    assert val.labels.tolist() == [1, 1] and val.class_names == names
    with pytest.raises(ValueError, match="class_names must name every folder in it, and lacks 'dog'"):
        data.ImageFolder(tmp_path / "val", class_names=["cat"])


def test_image_folder_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        data.ImageFolder(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError):
        data.ImageFolder(write(tmp_path / "file", b""))
    with pytest.raises(ValueError, match="one folder of images per class, got 0 folders"):
        data.ImageFolder(tmp_path)


def test_links_are_followed_once(tmp_path):
    photo_folder(tmp_path / "real", classes=("cat",), each=2)
    (tmp_path / "set").mkdir()
    os.symlink(tmp_path / "real" / "cat", tmp_path / "set" / "cat")
    os.symlink(tmp_path / "real" / "cat", tmp_path / "real" / "cat" / "circle")
    assert len(data.ImageFolder(tmp_path / "set", follow_links=True)) == 2
    with pytest.raises(ValueError, match="no image"):
        data.ImageFolder(tmp_path / "set")


def test_contents_tell_the_format(tmp_path):
    path = write(tmp_path / "a.jpg", encoded(pattern(5, 5), "PNG"))
    assert identify(path) == "PNG" and is_mislabelled(path, "PNG") and not is_mislabelled(tmp_path / "a.png", "PNG")
    assert not is_mislabelled(tmp_path / "a.JPG", "JPEG") and not is_mislabelled(tmp_path / "a", "JPEG")
    assert not is_mislabelled(tmp_path / "a.jpg", "MPO") and is_mislabelled(tmp_path / "a.txt", "JPEG")
    assert read(path).shape == (5, 5, 3)


# ------------------------------------------------------------------------------------------------- tables and arrays


def test_table_of_classes(tmp_path):
    photo_folder(tmp_path, each=2)
    table = tmp_path / "list.csv"
    table.write_text('\ufeffid,label,path\n1,dog,dog/000.jpg\n2,"cat",cat/001.jpg\n\n3,dog,"dog/001.jpg"\n', "utf-8")
    photos = data.ImageTable(table)
    assert photos.class_names == ["cat", "dog"] and photos.labels.tolist() == [1, 0, 1]
    assert photos.paths == [str(tmp_path / n) for n in ("dog/000.jpg", "cat/001.jpg", "dog/001.jpg")]
    assert photos[1][0].shape == (41, 56, 3)
    again = data.ImageTable(table, class_names=["dog", "emu", "cat"], channels=1, folder=tmp_path / "cat")
    assert again.labels.tolist() == [0, 2, 0] and again.paths[0] == str(tmp_path / "cat" / "dog/000.jpg")
    with pytest.raises(ValueError, match=r"line 2 must have a label of class_names, got 'dog'; did you mean 'dig'"):
        data.ImageTable(table, class_names=["dig", "cat"])


def test_table_without_names_and_with_numbers(tmp_path):
    table = tmp_path / "list.csv"
    table.write_text("a.jpg;10;0.5;-1\nb.jpg;9;1.5;2e-3\n")
    numbered = data.ImageTable(table, 0, 1, delimiter=";")
    assert numbered.class_names == ["9", "10"] and numbered.labels.tolist() == [1, 0]
    regression = data.ImageTable(table, 0, [2, 3], "number", delimiter=";")
    np.testing.assert_array_equal(regression.labels, np.array([[0.5, -1], [1.5, 2e-3]], np.float32), strict=True)
    assert data.ImageTable(table, 0, 2, "number", delimiter=";").labels.shape == (2,)
    assert data.ImageTable(table, 0, None, delimiter=";").labels is None


@pytest.mark.parametrize(
    "content, arguments, message",
    [
        ("path,label\n", {}, "at least one image"),
        ("", {}, "first line must name the columns path, label, got nothing"),
        ("file,label\na,b\n", {}, "first line must name the columns path, label, got file, label"),
        ("path,label\na.jpg,b\nc.jpg\n", {}, "line 3 must have at least 2 columns, got 1"),
        ("path,label\n,b\n", {}, "line 2 must have a path"),
        ("path,label\na.jpg,x\n", dict(label_kind="number"), "line 2 must have a finite number as label, got 'x'"),
        ("path,label\na.jpg,inf\n", dict(label_kind="number"), "line 2 must have a finite number"),
        ("path,label\na.jpg,x\n", dict(label_column=1), "columns must be all names or all numbers"),
        ("path,label\na.jpg,x\n", dict(label_column=["label"]), "one column"),
        ("path,label\na.jpg,x\n", dict(label_kind="words"), "label_kind must be one of"),
        ("path,label\na.jpg,1\n", dict(label_kind="number", class_names=["1"]), "class_names must be left out"),
        ('path,label\na.jpg,"x\n', {}, "must be a table in UTF-8"),
    ],
)
def test_table_errors(tmp_path, content, arguments, message):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        data.ImageTable(tmp_path / "t.csv", **arguments)


def test_table_that_is_no_text(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"path,label\n\xff\xfe,x\n")
    with pytest.raises(ValueError, match="must be a table in UTF-8"):
        data.ImageTable(tmp_path / "t.csv")


def test_array_dataset():
    x, y = np.arange(24).reshape(2, 3, 4), [5, 6]
    arrays = data.ArrayDataset(x, y, class_names=["a"])
    assert len(arrays) == 2 and arrays[1][0].shape == (3, 4, 1) and arrays[-1][1] == 6
    with pytest.raises(IndexError):
        arrays[2]
    for bad, message in (
        ((np.zeros(3),), "x must be numbers"),
        ((x, [1]), "y must be one number"),
        ((x, ["a", "b"]), "y must"),
    ):
        with pytest.raises(ValueError, match=message):
            data.ArrayDataset(*bad)
    part = arrays.subset([1])
    assert len(part) == 1 and part[0][1] == 6 and part.class_names == ["a"] and part.describe(0) == "sample 1"
    for bad in ([2], [-1], [0.5], [[0]]):
        with pytest.raises(ValueError, match="Subset: indices must be"):
            arrays.subset(bad)
