"""cnncore show, and how --augment is read."""

import json

import numpy as np
import pytest
from PIL import Image

from cnncore import augment, cli
from cnncore.cli import augmentation
from data_files import encoded, pattern, photo_folder, write


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """Run a command line in an empty folder; returns (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        try:
            status = cli.main([str(a) for a in argv])
        except SystemExit as stopped:
            status = stopped.code
        output = capsys.readouterr()
        return status, output.out, output.err

    return run


def test_folder(command, tmp_path):
    photo_folder(tmp_path / "set" / "train")
    photo_folder(tmp_path / "set" / "val", each=2)
    write(tmp_path / "set" / "train" / "dog" / "damaged.jpg", b"nothing")
    write(tmp_path / "set" / "train" / "dog" / "wrong.jpg", encoded(pattern(9, 9, seed=99)))
    status, out, err = command("show", "set")
    assert status == 0 and not err
    assert "train: 26 images, 3 classes: cat 8, dog 10, emu 8\n" in out and "test: 6 images" in out
    assert "train: 26 images, 1 of them unreadable: 24 JPEG, 1 PNG\n" in out
    assert (
        'dog/damaged.jpg": is no image' in out and 'mislabelled: "set/train/dog/wrong.jpg" is of the format PNG' in out
    )
    assert "images that are there more than once: 6; in training and in test: 6\n" in out
    assert 'same file: train "set/train/cat/000.jpg" and test "set/val/cat/000.jpg"' in out
    assert out.endswith("saved to sheet.png\n") and Image.open("sheet.png").format == "PNG"


def test_augmented_sheet(command, tmp_path):
    photo_folder(tmp_path / "set", each=2)
    for name in ("a.png", "b.png"):
        status, out, err = command(
            "show",
            "set",
            "--augment",
            "HorizontalFlip, Rotation(15)",
            "--no-check",
            "--image-size",
            "32x48",
            "--count",
            3,
            "--variants",
            2,
            "--seed",
            4,
            "--output",
            name,
        )
        assert status == 0 and not err and "mean" not in out and "warning" not in out
    a, b = (np.asarray(Image.open(name)) for name in ("a.png", "b.png"))
    np.testing.assert_array_equal(a, b)
    assert a.shape == (3 * 146 + 4, 3 * 132 + 4, 3)


def test_known_data_and_label_warning(command):
    status, out, err = command("show", "digits", "--augment", "VerticalFlip")
    assert status == 0 and not err and "warning: VerticalFlip must not be used for digits" in out
    assert "train: mean of the channels" in out and "test: 360 images, 10 classes" in out


@pytest.mark.parametrize(
    "argv, message",
    [
        (("digits", "--variants", "2"), "--variants needs --augment"),
        (("digits", "--output", "no/sheet.png"), "no folder"),
        (("digits", "--augment", "Rotaton(3)"), "no augmentation 'Rotaton'; did you mean 'Rotation'?"),
        (("nothing",), "DATA must be"),
    ],
)
def test_refused(command, argv, message):
    status, out, err = command("show", *argv)
    assert status == 2 and not out and message in err and err.count("\n") == 1


def test_augment_is_read_as_python(tmp_path):
    for text, expected in (
        ("HorizontalFlip", augment.HorizontalFlip()),
        ("HorizontalFlip(p=0.5),", augment.HorizontalFlip(p=0.5)),
        (
            "Rotation((-5, 20), fill_mode='edge'), Cutout(8)",
            augment.Compose([augment.Rotation((-5, 20), fill_mode="edge"), augment.Cutout(8)]),
        ),
        (
            "OneOf([Rotation(3), Compose([HorizontalFlip, VerticalFlip])])",
            augment.OneOf([augment.Rotation(3), augment.Compose([augment.HorizontalFlip(), augment.VerticalFlip()])]),
        ),
    ):
        assert augment.serialize(augmentation.parse(text)) == augment.serialize(expected)
        (tmp_path / "a.json").write_text(json.dumps(augment.serialize(expected)))
        assert augment.serialize(augmentation.parse(str(tmp_path / "a.json"))) == augment.serialize(expected)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "at least one"),
        ("3", "must name augmentations, got 3"),
        ("Rotation(", "must be names of augmentations"),
        ("__import__('os')", "no augmentation '__import__'"),
        ("Rotation(open)", "no augmentation 'open'"),
        ("Rotation(15).p", "must be a number, a text"),
        ("Rotation(1 if 1 else 2)", "must be a number"),
        ("Transform", "no augmentation"),
        ("augment.Rotation(3)", "must be a number"),
        ("Rotation(angle=3, **{})", "must be a number"),
        ("Rotation(nonsense=3)", "nonsense"),
        ("Rotation('a')", "must be a"),
        ("x := 3", "must be"),
        ("HorizontalFlip(p=2)", "probability"),
        ("\0", "must be names"),
    ],
)
def test_other_texts_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        augmentation.parse(text)
