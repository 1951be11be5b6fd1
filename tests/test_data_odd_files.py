"""A folder as people have them: damaged, empty, huge, wrongly named and oddly encoded files among the photos. Each that
cannot be read is reported with its own reason, and all others are used."""

import os
import warnings

import numpy as np
import pytest
from PIL import Image

from cnncore import cli, data
from data_files import bad_files, encoded, pattern, png, write

SHAPE = (40, 60)


def odd_files(folder):
    """Write files that can be read although they are odd: {path: format}."""
    photo = pattern(*SHAPE)
    grey = photo[..., 0]
    picture = Image.fromarray(photo)
    turned, transparent = Image.Exif(), np.dstack([photo, grey])
    turned[0x0112] = 6
    palette = picture.quantize(16)
    frames = [Image.fromarray(pattern(*SHAPE, seed=s)) for s in (1, 2, 3)]

    def saved(image, image_format, **options):
        path = folder / "scratch"
        folder.mkdir(parents=True, exist_ok=True)
        image.save(path, image_format, **options)
        content = path.read_bytes()
        path.unlink()
        return content

    deep = (grey.astype(np.uint16) << 8) + 7
    files = {
        "cmyk.jpg": ("JPEG", saved(picture.convert("CMYK"), "JPEG")),
        "palette.png": ("PNG", saved(palette, "PNG", transparency=3)),
        "sixteen-bit.png": ("PNG", encoded(deep, "PNG")),
        "sixteen-bit-rgb.png": (
            "PNG",
            png(60, 40, 16, 2, [(row * np.uint16(256)).astype(">u2").tobytes() for row in photo]),
        ),
        "grey-alpha.png": ("PNG", saved(Image.fromarray(np.dstack([grey, grey])), "PNG")),
        "transparent.png": ("PNG", encoded(transparent, "PNG")),
        "one-bit.png": ("PNG", saved(Image.fromarray(grey > 127), "PNG")),
        "animated.gif": ("GIF", saved(frames[0], "GIF", save_all=True, append_images=frames[1:])),
        "animated.webp": ("WEBP", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])),
        "turned.jpg": ("JPEG", saved(Image.fromarray(np.rot90(photo).copy()), "JPEG", exif=turned)),
        "ycbcr.tiff": ("TIFF", saved(picture.convert("YCbCr"), "TIFF")),
        "png-named.jpg": ("PNG", encoded(photo, "PNG")),
        "jpeg-named.png": ("JPEG", encoded(photo, "JPEG")),
        "without-extension": ("JPEG", encoded(photo, "JPEG")),
        "photo.txt": ("JPEG", encoded(photo, "JPEG")),
        "UPPER.JPEG": ("JPEG", encoded(photo, "JPEG")),
    }
    return {str(write(folder / name, content)): image_format for name, (image_format, content) in files.items()}


@pytest.fixture
def folder(tmp_path):
    for name in ("good", "other"):
        for i in range(3):
            write(tmp_path / "set" / name / f"{i}.png", encoded(pattern(*SHAPE, seed=10 * i + len(name))))
    return tmp_path / "set"


def test_every_file_has_its_report(folder):
    bad, odd = bad_files(folder / "good"), odd_files(folder / "other")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the report says it too
        found = data.ImageFolder(folder)
        report = data.check_files(found, verbose=0)
    unreadable = {error.path: error.reason for error in report.unreadable}
    ignored = {path for path in bad if path in found.ignored}
    assert {os.path.basename(path) for path in ignored} == {"drawing.eps"}  # by its extension no image at all
    assert len(bad) == 20 and set(unreadable) == set(bad) - ignored
    for path, part in bad.items():
        assert part in unreadable.get(path, part), (path, unreadable[path])
    assert len(set(unreadable.values())) >= 12  # the reasons tell the files apart
    lines = list(report.lines())
    for path, reason in unreadable.items():
        assert f'unreadable: "{path}": {reason}' in lines
    assert sorted(os.path.basename(path) for path, _ in report.mislabelled) == [
        "jpeg-named.png",
        "photo.txt",
        "png-named.jpg",
    ]
    assert f'mislabelled: "{folder / "other" / "png-named.jpg"}" is of the format PNG' in lines
    for path, _image_format in odd.items():
        index = found.paths.index(path)
        assert index in report.readable
        image, label = found[index]
        assert (image.shape, image.dtype, label) == ((*SHAPE, 3), np.uint8, 1), path
    assert sum(report.formats.values()) == len(odd) + 6 == len(report.readable)


def test_odd_files_show_the_picture_they_hold(folder):
    """To a mean difference of some grey levels where the encoding is lossy; transparency shows white."""
    photo = pattern(*SHAPE).astype(int)
    grey = np.repeat(photo[..., :1], 3, axis=2)
    over_white = np.rint((photo * photo[..., :1] + 255 * (255 - photo[..., :1])) / 255)
    grey_over_white = np.rint((grey * grey + 255 * (255 - grey)) / 255)
    expected = {
        "sixteen-bit.png": (grey, 1),
        "sixteen-bit-rgb.png": (photo, 1),
        "transparent.png": (over_white, 1),
        "grey-alpha.png": (grey_over_white, 1),
        "one-bit.png": (255 * (grey > 127), 0),
        "ycbcr.tiff": (photo, 2),
        "png-named.jpg": (photo, 0),
        "jpeg-named.png": (photo, 6),
        "turned.jpg": (photo, 6),
        "cmyk.jpg": (photo, 6),
        "animated.webp": (pattern(*SHAPE, seed=1).astype(int), 6),
    }
    paths = {os.path.basename(path): path for path in odd_files(folder / "other")}
    for name, (pixels, error) in expected.items():
        image = data.ImageFiles([paths[name]])[0][0].astype(int)
        assert np.abs(image - pixels).mean() <= error, (name, np.abs(image - pixels).mean())


def test_the_command_line_reports_and_trains_without_them(folder, capsys, monkeypatch, tmp_path):
    bad, odd = bad_files(folder / "good"), odd_files(folder / "other")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "set", "--image-size", "8", "--epochs", "1", "--validation", "0.3"]) == 0
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert len(lines) == len(bad) - 1 and all(line.startswith('skipped "set') for line in lines)
    for path, part in bad.items():
        name = os.path.relpath(path, tmp_path)
        assert name.endswith(".eps") or any(line.startswith(f'skipped "{name}": ') and part in line for line in lines)
    words = output.out.split()
    assert int(words[1]) + int(words[words.index("with,") + 1]) == len(odd) + 6
    assert cli.main(["show", "set"]) == 0
    shown = capsys.readouterr().out
    for path in bad:
        kind = "no image: " if path.endswith(".eps") else "unreadable: "
        assert f'{kind}"{os.path.relpath(path, tmp_path)}"' in shown
