"""The command line, as a user runs it: in this process through main(), and in processes of its own."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import cnncore as cc
from cnncore import cli, data as cc_data
from cnncore.cli import arguments, data, networks

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples" / "digits").glob("*.png"))


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """Run a command line in an empty folder; returns (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        try:
            status = cli.main([str(a) for a in argv])
        except SystemExit as exit:
            status = exit.code
        output = capsys.readouterr()
        return status, output.out, output.err

    yield run
    cc.set_threads(0)


@pytest.fixture(scope="module")
def digits_model(tmp_path_factory):
    """The model of `cnncore train`, with its defaults."""
    path = tmp_path_factory.mktemp("model") / "digits.cnn"
    assert cli.main(["train", "--output", str(path), "--quiet"]) == 0
    return path


def refused(result, *parts):
    """Exit status 2, nothing but one sentence on stderr, which holds all parts."""
    status, _, err = result
    assert status == 2
    assert err.count("\n") == 1 and "Traceback" not in err, err
    for part in parts:
        assert part in err, err


def photos(folder, classes, count, size=(12, 10), mode="RGB"):
    """Noisy images whose brightness tells the class."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            level = 40 + 170 * k / max(1, len(classes) - 1)
            array = np.clip(rng.normal(level, 10, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
            Image.fromarray(array).convert(mode).save(folder / name / f"{i}.png")


# ---- train, evaluate, predict, info ----


def test_digits_reach_the_accuracy_that_is_promised(digits_model, command):
    status, out, _ = command("evaluate", digits_model)
    assert status == 0 and "digits: 360 images" in out
    accuracy = float(out.split("accuracy ")[1].split()[0])
    assert accuracy >= 0.985


def test_examples_are_test_images_of_the_digits(command):
    digits = data.load("digits")
    assert [path.stem for path in EXAMPLES] == list("0123456789")
    for label, path in enumerate(EXAMPLES):
        first = digits.test.x[np.argmax(digits.test.labels == label)]
        assert np.array_equal(cc_data.ImageFiles([path], channels=1)[0][0], first)


def test_predict_names_the_digits(digits_model, command):
    status, out, _ = command("predict", digits_model, *EXAMPLES)
    lines = out.splitlines()
    assert status == 0 and len(lines) == 10
    right = sum(line.split()[1] == path.stem for line, path in zip(lines, EXAMPLES))
    assert right >= 9  # each is right with probability 0.985 or more


def test_predict_top_k_is_sorted_and_adds_up(digits_model, command):
    _, out, _ = command("predict", digits_model, EXAMPLES[3], "--top", "20")
    words = out.split()[1:]
    shares = [float(w) for w in words[1::3]]
    assert sorted(words[0::3]) == list("0123456789")
    assert shares == sorted(shares, reverse=True) and abs(sum(shares) - 100) <= 10 * 0.05


def test_training_does_not_depend_on_the_number_of_threads(command):
    for threads in (1, 3):
        status, _, err = command(
            "train", "--epochs", 1, "--threads", threads, "--seed", 5, "--quiet", "--output", f"{threads}.cnn"
        )
        assert status == 0, err
    assert pathlib.Path("1.cnn").read_bytes() == pathlib.Path("3.cnn").read_bytes()


def test_train_reports(command):
    status, out, err = command(
        "train", "--epochs", 1, "--optimizer", "adam", "--learning-rate", 0.01, "--batch-size", 100, "--model", "lenet"
    )
    assert status == 0, err
    assert "1,437 images to train with, 360 to test with, 8x8x1, 10 classes" in out
    assert (
        "Epoch 1/1" in out
        and "test accuracy 0." in out
        and "saved to model.cnn" in out
        and "cnncore predict model.cnn" in out
    )
    model = cc.load_model("model.cnn")
    assert model.class_names == list("0123456789")
    assert type(model.optimizer).__name__ == "Adam" and model.optimizer.iterations == 15
    assert model.inputs[0].dtype == "uint8"


def test_quiet_prints_two_lines(command):
    _, out, _ = command("train", "--epochs", 1, "--quiet")
    assert [line.split()[0] for line in out.splitlines()] == ["test", "saved"]


def test_info_of_a_model(digits_model, command):
    status, out, _ = command("info", digits_model, "--operations")
    assert status == 0
    for part in (
        "small (Model)",
        "classes:   0, 1, 2",
        "steps of SGD, learning rate CosineDecay(",
        "momentum=0.9",
        "for one image",
        "conv2d + bias + relu",
    ):
        assert part in out, part


def test_info_of_a_model_that_was_never_compiled(command):
    cc.models.SmallCNN((8, 8, 1)).save("plain.cnn")
    status, out, _ = command("info", "plain.cnn")
    assert status == 0 and "the file does not say" in out and "classes:" not in out


def test_info_of_the_installation(command):
    status, out, _ = command("info")
    assert status == 0 and cc.__version__ in out and cc.get_isa() in out


def test_bench(command):
    status, out, err = command("bench", "--model", "small", "--image-size", "8x8x1", "--seconds", 0.01)
    assert status == 0, err
    assert "images of 8x8x1" in out and out.count("% of the peak") == 3
    peaks = [line for line in out.splitlines() if line.split()[:1] and line.split()[0] in cc._core.available_isas()]
    assert len(peaks) == len(cc._core.available_isas())
    assert all(float(line.split()[-1]) > 0 for line in peaks)


def test_bench_of_a_saved_model(digits_model, command):
    status, out, err = command("bench", "--model", digits_model, "--seconds", 0.01, "--threads", 1)
    assert status == 0, err
    assert "1 thread\n" in out and "31,020 weights" in out


# ---- folders of images ----


def test_train_on_a_folder(command, tmp_path):
    photos(tmp_path / "photos", ("dark", "bright"), 20)
    status, out, err = command("train", "photos", "--image-size", "8", "--epochs", 8, "--validation", 0.25)
    assert status == 0, err
    assert "30 images to train with, 10 to test with, 8x8x3, 2 classes" in out
    assert cc.load_model("model.cnn").class_names == ["bright", "dark"]
    assert "test accuracy 1.0000" in out
    status, out, _ = command("evaluate", "model.cnn", "photos")
    assert status == 0 and "photos: 40 images" in out and "accuracy 1.0000 (0 wrong)" in out
    _, out, _ = command("predict", "model.cnn", tmp_path / "photos" / "dark" / "0.png")
    assert out.split()[1] == "dark"


def test_train_and_val_folders(tmp_path):
    photos(tmp_path / "train", ("a", "b", "c"), 3)
    photos(tmp_path / "val", ("a", "b", "c"), 2)
    read = data.load(str(tmp_path))
    assert read.train.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3 and read.classes == ["a", "b", "c"]
    assert read.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    _, test = data.load_test(str(tmp_path), (6, 5, 3), ["c", "b", "a"])
    assert sorted(test.labels.tolist()) == [0, 0, 1, 1, 2, 2]
    for path, label in zip(test.paths, test.labels):
        assert pathlib.Path(path).parent.name == "cba"[label]  # the model's order of the classes


def test_split_is_stratified_and_repeatable(tmp_path):
    photos(tmp_path, ("a", "b"), 10)
    one, two, other = (data.load(str(tmp_path), 0.3, seed) for seed in (1, 1, 2))
    assert np.bincount(one.test.labels).tolist() == [3, 3] and np.bincount(one.train.labels).tolist() == [7, 7]
    names = [[part.path(i) for i in range(len(part))] for part in (one.train, one.test, two.test, other.test)]
    assert names[1] == names[2] != names[3] and len({*names[0], *names[1]}) == 20  # every image once


def test_grey_images_have_one_channel(tmp_path):
    photos(tmp_path, ("a", "b"), 2, mode="L")
    assert data.load(str(tmp_path)).train[0][0].shape == (10, 12, 1)
    Image.new("RGB", (5, 5)).save(tmp_path / "a" / "colour.png")
    assert data.load(str(tmp_path)).train[0][0].shape[2] == 3


def test_predict_sees_what_training_saw(command, tmp_path):
    """An image file of another shape and orientation, through predict, and its pixels by hand through the model."""
    photos(tmp_path / "photos", ("dark", "bright"), 5)
    assert command("train", "photos", "--image-size", 8, "--epochs", 1, "--quiet")[0] == 0
    array = np.zeros((8, 24, 3), np.uint8)
    array[:, 8:16] = np.arange(8, dtype=np.uint8)[None, :, None] * 30
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    Image.fromarray(array).save("turned.png", exif=exif)
    _, out, _ = command("predict", "model.cnn", "turned.png", "--top", 2)
    model = cc.load_model("model.cnn")
    row = model.predict(np.rot90(array[:, 8:16], -1)[None], verbose=0)[0]  # turned, and cropped around the centre
    best = int(row.argmax())
    assert out.split()[1:3] == [model.class_names[best], f"{100 * row[best]:.1f}"]


# ---- the pipeline of cnncore train ----


def test_folder_with_unreadable_files(command, tmp_path):
    photos(tmp_path / "photos" / "train", ("dark", "bright"), 12)
    photos(tmp_path / "photos" / "val", ("dark", "bright"), 4)
    damaged = tmp_path / "photos" / "train" / "dark" / "7.png"
    damaged.write_bytes(damaged.read_bytes()[:90])
    (tmp_path / "photos" / "val" / "dark" / "note.jpg").write_text("no photo")
    status, out, err = command("train", "photos", "--image-size", 8, "--epochs", 2)
    assert status == 0
    assert "23 images to train with, 8 to test with" in out
    assert err.count("\n") == 2 and f'skipped "{pathlib.Path("photos/train/dark/7.png")}": ' in err
    assert 'note.jpg": is no image' in err
    refused(command("train", "photos", "--image-size", 8, "--strict"), "7.png", "damaged")
    status, _, err = command("evaluate", "model.cnn", "photos")
    assert status == 0 and 'note.jpg": is no image' in err
    for path in (tmp_path / "photos" / "train").glob("*/*"):
        path.write_bytes(b"nothing")
    refused(command("train", "photos"), "no image can be read", "bright")


def test_a_file_that_goes_away_during_the_training_is_named(command, tmp_path, monkeypatch):
    photos(tmp_path / "photos" / "train", ("dark", "bright"), 6)
    photos(tmp_path / "photos" / "val", ("dark", "bright"), 2)
    fit = cc.Model.fit

    def fit_without_a_file(model, *args, **kwargs):
        (tmp_path / "photos" / "train" / "dark" / "3.png").unlink()
        return fit(model, *args, **kwargs)

    monkeypatch.setattr(cc.Model, "fit", fit_without_a_file)
    status, out, err = command("train", "photos", "--image-size", 8, "--epochs", 2, "--cache", "0")
    assert status == 0 and "12 images to train with" in out
    assert err.count("\n") == 1 and "3.png" in err and "No such file" in err


@pytest.mark.parametrize("extra", [(), ("--cache", "0"), ("--cache", "disk:1M"), ("--cache", "2k")])
def test_workers_and_caches_change_no_byte(command, tmp_path, extra):
    photos(tmp_path / "photos", ("dark", "bright"), 20, size=(20, 14))
    common = (
        "train",
        "photos",
        "--image-size",
        "8x10",
        "--epochs",
        2,
        "--quiet",
        "--seed",
        3,
        "--load-size",
        "10x12",
        "--augment",
        "RandomCrop(8), HorizontalFlip, GaussianNoise(0.1)",
    )
    assert command(*common, "--workers", 0, "--output", "a.cnn")[0] == 0
    assert command(*common, "--workers", 2, "--threads", 2, "--output", "b.cnn", *extra)[0] == 0
    assert pathlib.Path("a.cnn").read_bytes() == pathlib.Path("b.cnn").read_bytes()
    assert command(*common[:-4], "--output", "c.cnn")[0] == 0  # without augmentation other weights come out
    assert pathlib.Path("a.cnn").read_bytes() != pathlib.Path("c.cnn").read_bytes()


def test_preprocessing_is_fitted_to_training_images_and_stored(command, tmp_path):
    photos(tmp_path / "photos" / "train", ("dark", "bright"), 6)
    photos(tmp_path / "photos" / "val", ("dark", "bright"), 2)
    for path in (tmp_path / "photos" / "val").glob("*/*"):
        Image.new("RGB", (12, 10), (255, 0, 0)).save(path)
    assert command("train", "photos", "--image-size", "10x12", "--epochs", 1, "--quiet")[0] == 0
    pixels = np.concatenate([np.asarray(Image.open(p)).reshape(-1, 3) for p in (tmp_path / "photos").glob("train/*/*")])
    found = cc.load_model("model.cnn").get_layer("preprocessing").preprocessing.arrays
    np.testing.assert_allclose(found["center"], pixels.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(1 / found["scale"], pixels.std(axis=0), rtol=1e-6)
    command("train", "photos", "--image-size", 8, "--epochs", 1, "--preprocess", "Rescale(0.01), MeanImage")
    assert cc.load_model("model.cnn").get_layer("preprocessing").preprocessing.sample_shape == (8, 8, 3)


def test_label_changing_augmentations_are_warned_of(command):
    status, out, _ = command("train", "--epochs", 1, "--augment", "HorizontalFlip")
    assert status == 0 and out.startswith("warning: HorizontalFlip must not be used for digits")


# ---- networks from files ----

NETWORK = """
from cnncore import Sequential, Input, layers
def build(input_shape, classes):
    return Sequential([Input(input_shape), layers.Flatten(), layers.Dense(classes, activation="softmax")])
"""


def test_network_from_a_file(command):
    pathlib.Path("net.py").write_text(NETWORK)
    status, out, err = command("train", "--model", "net.py", "--epochs", 3)
    assert status == 0, err
    assert "trained 650 weights" in out
    assert command("bench", "--model", "net.py", "--image-size", "8x8x1", "--seconds", 0.01)[0] == 0


@pytest.mark.parametrize(
    "source, part",
    [
        ("", "must define a function build"),
        ("build = 3", "must define a function build"),
        ("def build(input_shape, classes): return 1", "must return a Model, got int"),
        (NETWORK.replace("Dense(classes", "Dense(classes + 1"), "output of shape (None, 10)"),
        ("def build(input_shape, classes): raise KeyError('x')", "KeyError"),
        ("def build(:", "--debug"),
    ],
)
def test_wrong_network_files(command, source, part):
    pathlib.Path("net.py").write_text(source)
    refused(command("train", "--model", "net.py"), part)


# ---- errors ----


@pytest.mark.parametrize(
    "argv, parts",
    [
        ((), ["COMMAND", "--help"]),
        (("frobnicate",), ["frobnicate", "train"]),
        (("train", "nothing"), ["DATA must be one of digits", "'nothing'"]),
        (("train", "empty"), ["one folder of images per class"]),
        (("train", "--epochs", "0"), ["--epochs", "integer >= 1"]),
        (("train", "--learning-rate", "nan"), ["--learning-rate", "> 0"]),
        (("train", "--seed", "-1"), ["seed must be an integer >= 0"]),
        (("train", "--optimizer", "magic"), ["magic"]),
        (("train", "--model", "nope"), ["--model", "lenet", "'nope'"]),
        (("train", "--model", "nope.py"), ['no file "nope.py"']),
        (("train", "--model", "vgg16"), ["stage4_pool"]),
        (("train", "--threads", "9999"), ["threads must be 1 to 256"]),
        (("train", "--output", "nowhere/m.cnn"), ["--output", "no folder"]),
        (("train", "--output", "empty"), ["--output", "is a folder"]),
        (("train", "--validation", "0.1"), ["--validation must be left out for digits"]),
        (("train", "--image-size", "8"), ["--image-size must be left out for digits"]),
        (("train", "--image-size", "5x"), ["HEIGHTxWIDTH"]),
        (("train", "--load-size", "8"), ["--load-size needs --augment"]),
        (("train", "--load-size", "8", "--augment", "Rotation"), ["--load-size must be left out for digits"]),
        (("train", "--augment", "Flip"), ["no augmentation 'Flip'"]),
        (("train", "--preprocess", "Magic"), ["no preprocessing step 'Magic'"]),
        (("train", "--preprocess", "Rescale(0)"), ["Rescale", "other than 0"]),
        (("train", "--cache", "lots"), ["--cache", "512M"]),
        (("train", "--workers", "-1"), ["--workers"]),
        (("evaluate", "nope.cnn"), ['no model "nope.cnn"']),
        (("evaluate", "text.cnn"), ["text.cnn"]),
        (("predict", "MODEL", "nope.png"), ["nope.png", "No such file"]),
        (("predict", "MODEL", "text.cnn"), ['"text.cnn"', "image"]),
        (("predict", "MODEL", "damaged.png"), ["damaged"]),
        (("predict", "MODEL"), ["IMAGE"]),
        (("predict", "MODEL", "x.png", "--top", "0"), ["--top"]),
        (("info", "nope.cnn"), ["nope.cnn"]),
        (("info", "--operations"), ["MODEL"]),
        (("bench", "--image-size", "8x8x1"), ["--model"]),
        (("bench", "--model", "small", "--image-size", "8x8"), ["HEIGHTxWIDTHxCHANNELS"]),
        (("bench", "--model", "MODEL", "--image-size", "8x8x1"), ["left out for a saved model"]),
    ],
)
def test_errors_are_one_sentence(command, digits_model, argv, parts):
    pathlib.Path("empty").mkdir()
    pathlib.Path("text.cnn").write_text("this is no model, and no image either")
    pathlib.Path("damaged.png").write_bytes(EXAMPLES[0].read_bytes()[:60])
    refused(command(*[digits_model if a == "MODEL" else a for a in argv]), *parts)


@pytest.mark.parametrize(
    "make, argv, parts",
    [
        (lambda p: photos(p, ("only",), 3), ("train", "photos"), ["at least two folders"]),
        (lambda p: photos(p, ("a", "b"), 1), ("train", "photos"), ["at least two images"]),
        (lambda p: photos(p, ("a", "b"), 3), ("train", "photos", "--validation", "1"), ["between 0 and 1"]),
        (
            lambda p: (photos(p / "train", ("a", "b"), 1), photos(p / "val", ("a", "c"), 1)),
            ("train", "photos"),
            ["val", "'c'"],
        ),
        (
            lambda p: (photos(p / "train", ("a", "b"), 1), photos(p / "val", ("a",), 1)),
            ("train", "photos", "--validation", "0.5"),
            ["left out"],
        ),
        (lambda p: photos(p, ("a", "b"), 1), ("evaluate", "MODEL", "photos"), ["photos", "'a', 'b'"]),
    ],
)
def test_wrong_folders(command, digits_model, tmp_path, make, argv, parts):
    make(tmp_path / "photos")
    refused(
        command(*[digits_model if a == "MODEL" else a for a in argv]), *[part.replace("/", os.sep) for part in parts]
    )


def test_model_of_another_kind_is_refused(command):
    inputs = cc.Input((4,))
    cc.Model(inputs, cc.layers.Dense(2)(inputs)).save("vectors.cnn")
    refused(command("predict", "vectors.cnn", EXAMPLES[0]), "one grey or RGB image", "(None, 4)")


def test_debug_shows_the_traceback(command):
    with pytest.raises(ValueError, match="nothing"):
        command("train", "nothing", "--debug")


# ---- data sets by name and folder ----


@pytest.mark.skipif("CNNCORE_DATA" not in os.environ, reason="CNNCORE_DATA must name the folder of the data sets")
@pytest.mark.parametrize(
    "name, folder, shape, label",
    [
        ("mnist", "mnist", (28, 28, 1), "7"),
        ("fashion-mnist", "fashion-mnist", (28, 28, 1), "ankle boot"),
        ("cifar10", "cifar-10-batches-bin", (32, 32, 3), "cat"),
    ],
)
def test_known_data_sets(name, folder, shape, label):
    by_name, by_path = data.load(name), data.load(os.path.join(os.environ["CNNCORE_DATA"], folder))
    assert by_path.kind == by_name.kind == name
    assert by_name.train.x.shape[1:] == shape and by_name.train.x.dtype == np.uint8
    assert np.array_equal(by_name.test.x, by_path.test.x)
    assert by_name.classes[by_name.test.labels[0]] == label  # the first test image of each set, as published


def test_several_data_sets_in_one_folder_are_ambiguous(tmp_path):
    for folder in ("mnist", "fashion-mnist"):
        (tmp_path / folder).mkdir()
        for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
            (tmp_path / folder / f"{stem}-ubyte").touch()
    with pytest.raises(ValueError, match="holds several data sets, fashion-mnist, mnist"):
        data.load(str(tmp_path))


# ---- small pieces ----


@pytest.mark.parametrize("text, size", [("64x96", (64, 96)), ("32", (32, 32)), ("7X5", (7, 5))])
def test_image_size(text, size):
    assert arguments.image_size(text) == size


def test_preprocessing_is_inside_the_model():
    model = networks.classifier(networks.builder("small"), (8, 8, 1), list("ab"), cc.preprocessing.Rescale())
    network = model.get_layer("small")
    x = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    assert np.allclose(model.predict(x, verbose=0), network.predict(x / np.float32(255), verbose=0), atol=1e-6)


def test_size_of_a_cache():
    memory, disk = arguments.cache("3k"), arguments.cache("disk:1M")
    assert type(memory) is cc_data.MemoryCache and memory.limit_bytes == 3 << 10
    assert type(disk) is cc_data.FileCache and disk.limit_bytes == 1 << 20
    assert arguments.cache("0") is None and arguments.cache("memory:7").limit_bytes == 7


# ---- as processes ----


def process(*argv, **kwargs):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "cnncore", *map(str, argv)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


@pytest.mark.parametrize("argv", [(), *[(name,) for name in cli.COMMANDS]])
def test_help_teaches(argv):
    child = process(*argv, "--help")
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0 and not err
    examples = out.split("examples:\n")[1].splitlines()
    assert len([line for line in examples if "cnncore" in line]) >= 2


def test_version():
    assert process("--version").communicate(timeout=60)[0].strip() == f"cnncore {cc.__version__}"


def test_interrupt_ends_with_130_and_one_line(tmp_path):
    child = process("train", "--epochs", 10000, cwd=tmp_path)
    line = child.stdout.readline()  # the training is about to begin
    assert line.startswith("digits:"), line + child.stderr.read()
    child.stdout.readline()  # an epoch is done
    begin = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130 and err == "cnncore: interrupted\n"
    assert time.monotonic() - begin < 10
    assert not (tmp_path / "model.cnn").exists()


@pytest.mark.parametrize("variable, value", [("CNNCORE_ISA", "sse9"), ("CNNCORE_NUM_THREADS", "two")])
def test_wrong_environment_variables_are_one_sentence(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    child = process("train")
    out, err = child.communicate(timeout=60)
    assert child.returncode == 2 and not out
    assert err.startswith(f"cnncore: {variable} must be ") and err.count("\n") == 1 and repr(value) in err


def test_reader_that_goes_away(digits_model):
    child = process("info", digits_model, "--operations")
    child.stdout.close()
    err = child.stderr.read()
    assert child.wait(timeout=60) == 1 and not err
