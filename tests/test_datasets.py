"""Data sets: the built-in digits, the readers on small and damaged files, and the real files below CNNCORE_DATA."""

import gzip
import importlib.util
import os
import pathlib
import pickle
import shutil
import struct

import numpy as np
import pytest

from cnncore import datasets
from cnncore.datasets import _cifar, _idx, _pickled

ROOT = pathlib.Path(__file__).resolve().parent.parent


def draws(shape, high=256, seed=0):
    return np.random.default_rng(seed).integers(0, high, shape, np.uint8)


@pytest.fixture
def large_folder(tmp_path):
    """A temporary folder that does not outlive its test."""
    folder = tmp_path / "large"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


# -------------------------------------------------------------------------------------------------------------- digits


def test_digits_shapes_and_split():
    (x_train, y_train), (x_test, y_test) = datasets.load_digits()
    assert x_train.shape == (1437, 8, 8, 1) and y_train.shape == (1437,)
    assert x_test.shape == (360, 8, 8, 1) and y_test.shape == (360,)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    assert x_train.min() == 0 and max(x_train.max(), x_test.max()) == 16
    counts = np.bincount(y_train) + np.bincount(y_test)
    np.testing.assert_array_equal(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])  # published class counts
    assert np.abs(np.bincount(y_test) - counts * 360 / 1797).max() < 1


def test_digits_labels_belong_to_their_images():
    (x_train, y_train), (x_test, y_test) = datasets.load_digits()
    train, test = (x.reshape(len(x), 64).astype(np.int64) for x in (x_train, x_test))
    distances = (test**2).sum(1)[:, None] - 2 * test @ train.T + (train**2).sum(1)
    accuracy = np.mean(y_train[distances.argmin(1)] == y_test)
    assert accuracy > 0.97  # the nearest neighbour errs on 1 to 2 % of these digits; shuffled labels would give 0.1


def test_digits_are_fresh_and_writable():
    (x, _), _ = datasets.load_digits()
    x[:] = 0
    assert datasets.digits.load_data()[0][0].max() == 16
    assert datasets.load_digits is datasets.digits.load_data


def test_digits_file_carries_its_licence_and_no_objects():
    with np.load(ROOT / "cnncore" / "datasets" / "digits.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file)
        assert "CC BY 4.0" in str(file["license"])
        assert "Alpaydin" in str(file["attribution"]) and "10.24432/C50P49" in str(file["attribution"])


def test_digits_file_is_what_the_tool_builds():
    pytest.importorskip("sklearn")
    spec = importlib.util.spec_from_file_location("make_digits", ROOT / "tools" / "make_digits.py")
    make_digits = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_digits)
    with np.load(ROOT / "cnncore" / "datasets" / "digits.npz", allow_pickle=False) as file:
        built = make_digits.build()
        assert sorted(file) == sorted(built)
        for name in built:
            np.testing.assert_array_equal(file[name], built[name])


# ----------------------------------------------------------------------------------------------------------------- IDX


def idx_bytes(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture(params=["plain", "gzip"])
def pack(request):
    return (lambda content: content) if request.param == "plain" else (lambda content: gzip.compress(content, 1))


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 4, 5), (2, 1, 1)])
def test_idx_round_trip(tmp_path, pack, shape):
    array = draws(shape)
    path = tmp_path / "file"
    path.write_bytes(pack(idx_bytes(array)))
    read = _idx.read_idx(path, shape)
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.uint8 and read.flags.writeable


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda b: b"", "header must have 16 bytes, got 0"),
        (lambda b: b[:15], "header must have 16 bytes, got 15"),
        (lambda b: b"\0\0\x0d\x03" + b[4:], "magic number must be 00000803, got 00000d03"),
        (lambda b: b"\0\0\x08\x01" + b[4:], "magic number must be 00000803, got 00000801"),
        (lambda b: b[:4] + b"\xff" * 12 + b[16:], r"dimensions must be \(3, 4, 5\), got \(4294967295"),
        (lambda b: b[:-1], "60 bytes must follow the header, got 59"),
        (lambda b: b[:16], "60 bytes must follow the header, got 0"),
        (lambda b: b + b"\0", "60 bytes must follow the header, got more"),
    ],
)
def test_idx_damage(tmp_path, pack, change, message):
    path = tmp_path / "file"
    path.write_bytes(pack(change(idx_bytes(draws((3, 4, 5))))))
    with pytest.raises(ValueError, match=message) as error:
        _idx.read_idx(path, (3, 4, 5))
    assert str(path) in str(error.value)


def test_idx_every_truncation_and_changed_byte_of_gzip(tmp_path):
    array = draws((3, 4, 5))
    whole = gzip.compress(idx_bytes(array), 9, mtime=0)
    path = tmp_path / "file"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="data set file"):
            _idx.read_idx(path, array.shape)
    refused = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            read = _idx.read_idx(path, array.shape)
        except ValueError:
            refused += 1
        else:  # the header's flags, time and system are not covered by the checksum; the content is
            assert position < 10
            np.testing.assert_array_equal(read, array)
    assert refused >= len(whole) - 8


def write_mnist(folder, ends=("-idx3-ubyte", "-idx1-ubyte"), pack=bytes, labels=10):
    """A full-size data set that is mostly zeros; returns the first image of both parts, and the labels."""
    folder.mkdir()
    y, first = {}, draws((28, 28))
    for stem, count in (("train", 60000), ("t10k", 10000)):
        x = np.zeros((count, 28, 28), np.uint8)
        x[0] = first
        y[stem] = np.arange(count, dtype=np.int64).astype(np.uint8) % labels
        (folder / f"{stem}-images{ends[0]}").write_bytes(pack(idx_bytes(x)))
        (folder / f"{stem}-labels{ends[1]}").write_bytes(pack(idx_bytes(y[stem])))
    return first, y


@pytest.mark.parametrize("ends", [("-idx3-ubyte", "-idx1-ubyte"), (".idx3-ubyte.gz", ".idx1-ubyte.gz")])
def test_mnist_from_its_folder_or_the_one_above(large_folder, ends):
    compress = (lambda content: gzip.compress(content, 1)) if ends[0].endswith("gz") else bytes
    first, labels = write_mnist(large_folder / "mnist", ends, compress)
    for path in (large_folder, str(large_folder / "mnist")):
        (x_train, y_train), (x_test, y_test) = datasets.mnist.load_data(path)
        assert x_train.shape == (60000, 28, 28) and x_test.shape == (10000, 28, 28)
        assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
        np.testing.assert_array_equal(x_train[0], first)
        assert not x_train[1:].any()
        np.testing.assert_array_equal(y_train, labels["train"])
        np.testing.assert_array_equal(y_test, labels["t10k"])


def test_mnist_refuses_labels_beyond_nine(large_folder):
    write_mnist(large_folder / "mnist", labels=11)
    with pytest.raises(ValueError, match="labels must be below 10, got 10 at position 10"):
        datasets.mnist.load_data(large_folder)


# ------------------------------------------------------------------------------------------ where files are looked for


def test_missing_file_error_says_everything(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNCORE_DATA", str(tmp_path))
    modules = {
        datasets.mnist: ("train-images-idx3-ubyte", tmp_path / "mnist", "yann.lecun.com/exdb/mnist"),
        datasets.fashion_mnist: ("train-images.idx3-ubyte.gz", tmp_path / "fashion-mnist", "github.com/zalando"),
        datasets.cifar10: ("data_batch_1.bin", tmp_path / "cifar-10-batches-bin", "cs.toronto.edu/~kriz/cifar.html"),
        datasets.cifar100: ("train.bin", tmp_path / "cifar-100-binary", "cs.toronto.edu/~kriz/cifar.html"),
    }
    for module, expected in modules.items():
        with pytest.raises(FileNotFoundError) as error:
            module.load_data()
        for part in (*expected, "path=", "CNNCORE_DATA"):
            assert str(part) in str(error.value)


def test_missing_file_is_the_one_that_is_missing(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_5", "test_batch"):
        (folder / name).touch()
    with pytest.raises(FileNotFoundError, match=f"file data_batch_4 must be in {folder}"):
        datasets.cifar10.load_data(tmp_path)


def test_default_place(tmp_path, monkeypatch):
    monkeypatch.delenv("CNNCORE_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        datasets.mnist.load_data()
    assert str(tmp_path / ".cnncore" / "datasets" / "mnist") in str(error.value)


def test_environment_variable_never_takes_one_data_set_for_another(large_folder, monkeypatch):
    write_mnist(large_folder / "mnist")
    monkeypatch.setenv("CNNCORE_DATA", str(large_folder / "mnist"))
    with pytest.raises(FileNotFoundError):
        datasets.fashion_mnist.load_data()


def test_path_must_be_a_folder(tmp_path):
    (tmp_path / "mnist.npz").touch()
    with pytest.raises(NotADirectoryError, match="path must be the folder"):
        datasets.mnist.load_data(tmp_path / "mnist.npz")


# --------------------------------------------------------------------------------------------------------------- CIFAR


class Python2Pickle:
    """Writes dictionaries of strings, integers, lists and byte arrays with the opcodes that Python 2 used."""

    def __init__(self):
        self.parts = [b"\x80\x02"]
        self.count = 0

    def memoize(self):
        self.parts.append(b"q" + bytes([self.count]) if self.count < 256 else b"r" + struct.pack("<I", self.count))
        self.count += 1

    def string(self, content):
        length = len(content)
        self.parts.append(b"U" + bytes([length]) if length < 256 else b"T" + struct.pack("<i", length))
        self.parts.append(content)
        self.memoize()

    def integer(self, value):
        self.parts.append(b"K" + struct.pack("<B", value) if value < 256 else b"M" + struct.pack("<H", value))

    def array(self, array):
        self.parts.append(b"cnumpy.core.multiarray\n_reconstruct\n")
        self.memoize()
        self.parts.append(b"cnumpy\nndarray\n")
        self.memoize()
        self.parts.append(b"K\x00\x85U\x01b\x87R(K\x01")
        for n in array.shape:
            self.integer(n)
        self.parts.append({1: b"\x85", 2: b"\x86"}[array.ndim])
        self.parts.append(b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R")
        self.parts.append(b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
        self.string(array.tobytes())
        self.parts.append(b"tb")

    def value(self, value):
        if isinstance(value, bytes):
            self.string(value)
        elif isinstance(value, int):
            self.integer(value)
        elif isinstance(value, np.ndarray):
            self.array(value)
        elif isinstance(value, list):
            self.parts.append(b"]")
            self.memoize()
            for start in range(0, len(value), 1000):
                self.parts.append(b"(")
                for item in value[start : start + 1000]:
                    self.value(item)
                self.parts.append(b"e")
        else:
            self.parts.append(b"}")
            self.memoize()
            self.parts.append(b"(")
            for key, item in value.items():
                self.string(key)
                self.value(item)
            self.parts.append(b"u")

    @classmethod
    def dumps(cls, value):
        writer = cls()
        writer.value(value)
        return b"".join(writer.parts) + b"."


def batch(count, seed=0, **labels):
    content = {b"batch_label": b"training batch 1 of 5"}
    content.update({name.encode(): values.tolist() for name, values in labels.items()})
    content[b"data"] = draws((count, 3072), seed=seed)
    content[b"filenames"] = [b"image_%d.png" % i for i in range(count)]
    return content


def image(pixels):
    """One planar record as an image, written out element by element."""
    rows = range(32)
    return np.array([[[pixels[1024 * c + 32 * h + w] for c in range(3)] for w in rows] for h in rows], np.uint8)


def test_pickle_of_python_2_is_read_as_python_reads_it(tmp_path):
    content = batch(300, labels=draws(300, 10))
    path = tmp_path / "data_batch_1"
    path.write_bytes(Python2Pickle.dumps(content))
    expected = pickle.loads(path.read_bytes(), encoding="bytes")
    read = _pickled.read(path)
    assert sorted(read) == ["batch_label", "data", "filenames", "labels"]
    np.testing.assert_array_equal(read["data"], expected[b"data"])
    np.testing.assert_array_equal(read["data"], content[b"data"])
    assert read["labels"] == expected[b"labels"] == content[b"labels"]
    assert read["filenames"] == expected[b"filenames"]
    assert read["batch_label"] == expected[b"batch_label"]


def test_pickle_with_every_opcode(tmp_path):
    program = b"\x80\x02}q\x00(U\x01aK\x07q\x01h\x01\x86U\x01bM\x00\x01\x85U\x01cJ\xfe\xff\xff\xff"
    program += b"U\x01d]K\x01aU\x01e)U\x01fNU\x01g\x88U\x01h\x89u"
    program += b"U\x01i(K\x01K\x02tr\x00\x01\x00\x00sU\x01jj\x00\x01\x00\x00sU\x01kT\x02\x00\x00\x00xys."
    path = tmp_path / "file"
    path.write_bytes(program)
    expected = pickle.loads(program, encoding="bytes")
    assert _pickled.read(path) == {key.decode(): value for key, value in expected.items()}
    assert set("abcdefghijk") == set(_pickled.read(path))


class Hostile:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_hostile_pickle_is_refused_and_not_executed(tmp_path, protocol):
    path, witness = tmp_path / "data_batch_1", tmp_path / "witness"
    content = pickle.dumps({b"data": Hostile(os.mkdir, str(witness))}, protocol)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="data set file"):
        _pickled.read(path)
    assert not witness.exists()
    pickle.loads(content)
    assert witness.exists()  # the file was a loaded gun


@pytest.mark.parametrize(
    "program, message",
    [
        (b"\x80\x02cos\nsystem\nU\x04true\x85R.", "nothing was executed.*'os.system'"),
        (b"\x80\x02cnumpy\nload\n.", "'numpy.load'"),
        (b"\x80\x02c__builtin__\neval\n.", "'__builtin__.eval'"),
        (b"\x80\x02(ios\nsystem\n.", "opcode 0x69"),
        (b"\x80\x02U\x01x\x85cnumpy\nndarray\nR.", "must be a tuple"),
        (b"\x80\x02cnumpy\nndarray\nU\x01x\x85R.", "only NumPy's arrays"),
        (b"\x80\x02cnumpy\ndtype\nU\x01O\x85R.", "must be uint8"),
        (b"\x80\x02cnumpy\ndtype\n)R.", "must be uint8"),
        (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R.", "must be an ndarray"),
        (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nK\x01K\x00\x85U\x01b\x87R.", "must be an ndarray"),
        (b"\x80\x02}(K\x01K\x02u.", "keys must be strings"),
        (b"\x80\x02}(U\x01au.", "must come in pairs"),
        (b"\x80\x02].", "must hold one dictionary, got list"),
        (b"\x80\x02N}.", "must hold one dictionary"),
        (b"\x80\x02.", "empty stack"),
        (b"\x80\x02}(s.", "empty stack"),
        (b"\x80\x02}U\x01aK\x01(s.", "empty stack"),
        (b"\x80\x02e.", "no mark"),
        (b"\x80\x02(K\x01e.", "empty stack"),
        (b"\x80\x02}U\x01ah\x05s.", "must have been stored, got number 5"),
        (b"\x80\x02}U\x01aT\xff\xff\xff\xff.", "must not be negative"),
        (b"\x80\x02}U\x01aT\xff\xff\xff\x7f.", "2147483647 bytes must follow"),
        (b"\x80\x02}N\x85b.", "only an array may be given a state, got dict"),
        (b"\x80\x02}", "1 bytes must follow"),
        (b"", "protocol 2, got an empty file"),
        (b"\x80\x04}.", "protocol 2, got 8004"),
        (b"\x80\x02" + b"N" * (1 << 20), "opcodes"),
    ],
)
def test_pickle_refusals(tmp_path, program, message):
    path = tmp_path / "file"
    path.write_bytes(program)
    with pytest.raises(ValueError, match=message) as error:
        _pickled.read(path)
    assert str(path) in str(error.value)


def test_pickle_nested_to_print_for_ever_is_refused_at_once(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\x80\x02N" + b"".join(b"q\x00h\x00\x86" for _ in range(100)) + b".")
    with pytest.raises(ValueError, match="one dictionary, got tuple"):
        _pickled.read(path)


def test_pickle_file_size_is_limited(tmp_path):
    path = tmp_path / "file"
    with open(path, "wb") as file:
        file.truncate(_pickled.MAX_FILE_BYTES + 1)  # sparse: takes no room
    with pytest.raises(ValueError, match="at most"):
        _pickled.read(path)


def test_pickle_any_truncation_or_changed_byte_gives_a_value_error_or_plain_data(tmp_path):
    content = batch(3, labels=draws(3, 10))
    content[b"data"] = content[b"data"][:, :6].copy()
    whole = Python2Pickle.dumps(content)
    path = tmp_path / "file"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="data set file"):
            _pickled.read(path)
    for position in range(len(whole)):
        for value in (0, 0x2E, 0x52, 0x62, 0x7F, 0xFF, whole[position] ^ 1):
            path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
            try:
                assert isinstance(_pickled.read(path), dict)
            except ValueError as error:
                assert str(path) in str(error)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.pop(b"data"), r'"data" must be an array of shape \(4, 3072\), got NoneType'),
        (lambda c: c.update({b"data": c[b"data"][:3].copy()}), r"got \(3, 3072\)"),
        (lambda c: c.update({b"data": [1, 2]}), "got list"),
        (lambda c: c.pop(b"labels"), '"labels" must be a list of 4 labels, got NoneType'),
        (lambda c: c.update({b"labels": [1, 2, 3]}), "list of 4 labels, got 3"),
        (lambda c: c.update({b"labels": [1, 2, 3, 300]}), r"integers in 0 \.\. 255"),
        (lambda c: c.update({b"labels": [1, 2, 3, b"4"]}), r"integers in 0 \.\. 255"),
        (lambda c: c.update({b"labels": [1, 2, 3, 10]}), "labels must be below 10, got 10 at position 3"),
    ],
)
def test_cifar_python_batch_that_is_no_batch(tmp_path, change, message):
    content = batch(4, labels=draws(4, 10))
    change(content)
    path = tmp_path / "data_batch_1"
    path.write_bytes(Python2Pickle.dumps(content))
    with pytest.raises(ValueError, match=message):
        _cifar.gather(_cifar.read_python, [path], 4, ("labels",), "labels", 10)


def test_cifar_records(tmp_path):
    contents = [batch(5, seed, coarse_labels=draws(5, 20, seed), fine_labels=draws(5, 100, seed)) for seed in (1, 2)]
    binary, python = [], []
    for i, content in enumerate(contents):
        labels = [np.array(content[name], np.uint8) for name in (b"coarse_labels", b"fine_labels")]
        binary.append(tmp_path / f"{i}.bin")
        binary[i].write_bytes(np.concatenate([np.stack(labels, 1), content[b"data"]], 1).tobytes())
        python.append(tmp_path / f"{i}")
        python[i].write_bytes(Python2Pickle.dumps(content))
    images = np.stack([image(pixels) for content in contents for pixels in content[b"data"]])
    for reader, paths in ((_cifar.read_binary, binary), (_cifar.read_python, python)):
        for label, classes in (("fine_labels", 100), ("coarse_labels", 20)):
            x, y = _cifar.gather(reader, paths, 5, ("coarse_labels", "fine_labels"), label, classes)
            np.testing.assert_array_equal(x, images)
            np.testing.assert_array_equal(y[:, 0], contents[0][label.encode()] + contents[1][label.encode()])
            assert x.dtype == y.dtype == np.uint8 and y.shape == (10, 1) and x.flags.c_contiguous


@pytest.mark.parametrize("size", [0, 3072, 4 * 3073 - 1, 4 * 3073 + 1, 3 * 3073])
def test_cifar_binary_of_another_size(tmp_path, size):
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(bytes(size))
    with pytest.raises(ValueError, match=f"4 records of 3073 bytes, 12292, got {size} bytes") as error:
        _cifar.read_binary(path, 4, ("label",))
    assert str(path) in str(error.value)


def write_cifar10_python(folder):
    folder.mkdir()
    contents = {}
    for i, name in enumerate([f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]):
        data = np.zeros((10000, 3072), np.uint8)
        data[:2] = draws((2, 3072), seed=i)
        contents[name] = {b"labels": draws(10000, 10, i).tolist(), b"data": data}
        (folder / name).write_bytes(Python2Pickle.dumps(contents[name]))
    return contents


def test_cifar10_python_version(large_folder):
    contents = write_cifar10_python(large_folder / "cifar-10-batches-py")
    (x_train, y_train), (x_test, y_test) = datasets.cifar10.load_data(large_folder)
    assert x_train.shape == (50000, 32, 32, 3) and x_test.shape == (10000, 32, 32, 3)
    assert y_train.shape == (50000, 1) and y_test.shape == (10000, 1)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(x_train[30001], image(contents["data_batch_4"][b"data"][1]))
    np.testing.assert_array_equal(x_test[0], image(contents["test_batch"][b"data"][0]))
    np.testing.assert_array_equal(y_train[40000:, 0], contents["data_batch_5"][b"labels"])
    np.testing.assert_array_equal(y_test[:, 0], contents["test_batch"][b"labels"])


def test_cifar100_binary_version(tmp_path):
    last = np.concatenate([[19, 99], draws(3072)]).astype(np.uint8)
    for name, count in (("train.bin", 50000), ("test.bin", 10000)):
        with open(tmp_path / name, "wb") as file:  # zeros, sparse on most file systems, but for the last record
            file.truncate((count - 1) * 3074)
            file.seek(0, os.SEEK_END)
            file.write(last.tobytes())
    for label_mode, label in (("coarse", 19), ("fine", 99)):
        (x_train, y_train), (x_test, y_test) = datasets.cifar100.load_data(label_mode, tmp_path)
        assert x_train.shape == (50000, 32, 32, 3) and x_test.shape == (10000, 32, 32, 3)
        assert y_train.shape == (50000, 1) and y_test.shape == (10000, 1)
        for x, y in ((x_train, y_train), (x_test, y_test)):
            assert x.dtype == y.dtype == np.uint8
            np.testing.assert_array_equal(x[-1], image(last[2:]))
            assert y[-1, 0] == label and not x[:-1].any() and not y[:-1].any()


def test_cifar100_label_mode():
    with pytest.raises(ValueError, match='label_mode must be "fine" or "coarse", got \'both\''):
        datasets.cifar100.load_data(label_mode="both")


# ---------------------------------------------------------------------------------------------------------- real files


def real(*folders):
    root = os.environ.get("CNNCORE_DATA")
    if not root:
        pytest.skip("CNNCORE_DATA is not set")
    if not any((pathlib.Path(root) / folder).is_dir() for folder in folders):
        pytest.skip(f"CNNCORE_DATA has no folder {' or '.join(folders)}")


def test_real_mnist():
    real("mnist", "MNIST/raw")
    (x_train, y_train), (x_test, y_test) = datasets.mnist.load_data()
    assert x_train.shape == (60000, 28, 28) and x_test.shape == (10000, 28, 28)
    np.testing.assert_array_equal(y_train[:10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4])  # known from every tutorial
    np.testing.assert_array_equal(y_test[:10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9])
    np.testing.assert_array_equal(np.bincount(y_train), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
    assert abs(x_train.mean() / 255 - 0.1307) < 5e-5 and abs(x_train.std() / 255 - 0.3081) < 5e-5


def test_real_fashion_mnist():
    real("fashion-mnist", "fashion_mnist", "FashionMNIST/raw")
    (x_train, y_train), (x_test, y_test) = datasets.fashion_mnist.load_data()
    assert x_train.shape == (60000, 28, 28) and x_test.shape == (10000, 28, 28)
    assert (np.bincount(y_train) == 6000).all() and (np.bincount(y_test) == 1000).all()
    assert abs(x_train.mean() / 255 - 0.2860) < 5e-5 and abs(x_train.std() / 255 - 0.3530) < 5e-5


def test_real_cifar10():
    real("cifar-10-batches-bin", "cifar-10-batches-py")
    (x_train, y_train), (x_test, y_test) = datasets.cifar10.load_data()
    assert x_train.shape == (50000, 32, 32, 3) and y_train.shape == (50000, 1)
    assert x_test.shape == (10000, 32, 32, 3) and y_test.shape == (10000, 1)
    assert (np.bincount(y_train[:, 0]) == 5000).all() and (np.bincount(y_test[:, 0]) == 1000).all()
    np.testing.assert_array_equal(y_train[:10, 0], [6, 9, 9, 4, 1, 1, 2, 7, 8, 3])
    mean = x_train.reshape(-1, 3).mean(0, dtype=np.float64) / 255
    np.testing.assert_allclose(mean, [0.49139968, 0.48215841, 0.44653091], rtol=0, atol=5e-9)  # published to 8 digits


def test_real_cifar10_planes_are_the_images_channels():
    """The first image, put back into the file's order, is the file's first record."""
    real("cifar-10-batches-bin")
    folder = pathlib.Path(os.environ["CNNCORE_DATA"]) / "cifar-10-batches-bin"
    first = (folder / "data_batch_1.bin").read_bytes()[1:3073]
    (x_train, _), _ = datasets.cifar10.load_data()
    planes = np.concatenate([x_train[0, :, :, channel].ravel() for channel in range(3)])
    assert planes.tobytes() == first
