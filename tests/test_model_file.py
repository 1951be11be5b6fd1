"""Model files: what is written is read back; any other bytes are an error or a valid file, never a crash."""

import errno
import json
import os
import random
import signal
import stat
import time

import numpy as np
import pytest

from cnncore import _core, model_file


def small():
    """Tensors and metadata with every type, rank, and kind of character."""
    tensors = {
        "conv/kernel": np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1),
        "labels": np.array([[-1], [7]], np.int32),
        "mean é": np.array([1.5], np.float32),
        "pixels": np.arange(3, dtype=np.uint8),
    }
    return tensors, {"format": "test", "graph": '{"a": "\\u00e9\\n😀"}\t"', "empty": ""}


def file_bytes(tmp_path, tensors, metadata=None):
    path = tmp_path / "seed.cnn"
    model_file.write(path, tensors, metadata)
    return path.read_bytes()


def raw(header, data=b""):
    """A file with that header, a str, bytes or an object for JSON."""
    if not isinstance(header, (str, bytes)):
        header = json.dumps(header)
    header = header if isinstance(header, bytes) else header.encode()
    return len(header).to_bytes(8, "little") + header + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def assert_equal(result, expected):
    tensors, metadata = result
    assert metadata == expected[1]
    assert set(tensors) == set(expected[0])
    for name, array in expected[0].items():
        assert tensors[name].dtype == array.dtype and tensors[name].shape == array.shape, name
        assert tensors[name].tobytes() == array.tobytes(), name


# ---------------------------------------------------------------- round trips


def test_round_trip(tmp_path):
    model_file.write(tmp_path / "a.cnn", *small())
    assert_equal(model_file.read(tmp_path / "a.cnn"), small())
    assert_equal(model_file.read(str(tmp_path / "a.cnn")), small())
    assert_equal(model_file.parse((tmp_path / "a.cnn").read_bytes()), small())
    assert os.listdir(tmp_path) == ["a.cnn"]


def test_round_trip_of_random_files(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(50):
        tensors = {}
        for i in range(int(rng.integers(0, 20))):
            shape = rng.integers(1, 6, int(rng.integers(1, 5)))
            name = "".join(rng.choice(list('ab/"\\\n\t\x01é漢😀 '), int(rng.integers(1, 9)))) + str(i)
            tensors[name] = rng.integers(0, 256, shape).astype(rng.choice([np.float32, np.uint8, np.int32]))
        metadata = {f"key {i}": json.dumps({"x": "\x02é\\"}) for i in range(int(rng.integers(0, 4)))}
        model_file.write(tmp_path / "a.cnn", tensors, metadata)
        assert_equal(model_file.read(tmp_path / "a.cnn"), (tensors, metadata))


def test_special_floats_keep_their_bits(tmp_path):
    bits = np.array([0x7FC00001, 0xFF800000, 0x80000000, 1, 0x7F800001], np.uint32)
    model_file.write(tmp_path / "a.cnn", {"x": bits.view(np.float32)})
    assert model_file.read(tmp_path / "a.cnn")[0]["x"].view(np.uint32).tolist() == bits.tolist()


def test_any_memory_layout_is_written(tmp_path):
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    tensors = {"transposed": x.T, "strided": x[::2, 1::3], "reversed": x[::-1], "big endian": x.astype(">f4")}
    model_file.write(tmp_path / "a.cnn", tensors)
    for name, array in model_file.read(tmp_path / "a.cnn")[0].items():
        assert array.dtype == np.dtype("<f4") and array.tolist() == tensors[name].tolist(), name


def test_tensors_are_read_only_aligned_and_outlive_the_file(tmp_path):
    model_file.write(tmp_path / "a.cnn", *small())
    tensors, _ = model_file.read(tmp_path / "a.cnn")
    os.unlink(tmp_path / "a.cnn")
    for array in tensors.values():
        assert not array.flags.writeable and array.ctypes.data % array.itemsize == 0
    assert tensors["conv/kernel"].ctypes.data % _core.ALIGNMENT == 0
    assert_equal((tensors, small()[1]), small())


def test_layout(tmp_path):
    """The header ends where the data is aligned; larger elements come first, then names in order."""
    data = file_bytes(tmp_path, *small())
    length = int.from_bytes(data[:8], "little")
    assert (8 + length) % 64 == 0
    header = json.loads(data[8 : 8 + length])
    assert header.pop("__metadata__") == small()[1]
    assert list(header) == ["conv/kernel", "labels", "mean é", "pixels"]
    assert [header[name]["data_offsets"] for name in header] == [[0, 24], [24, 32], [32, 36], [36, 39]]
    assert len(data) == 8 + length + 39


def test_the_same_contents_give_the_same_bytes(tmp_path):
    tensors, metadata = small()
    backwards = dict(reversed(tensors.items())), dict(reversed(metadata.items()))
    assert file_bytes(tmp_path, tensors, metadata) == file_bytes(tmp_path, *backwards)


def test_the_safetensors_package_reads_it_and_is_read(tmp_path):
    safetensors = pytest.importorskip("safetensors")
    numpy_format = pytest.importorskip("safetensors.numpy")
    tensors, metadata = small()
    model_file.write(tmp_path / "a.cnn", tensors, metadata)
    with safetensors.safe_open(tmp_path / "a.cnn", framework="numpy") as file:
        assert_equal(({name: file.get_tensor(name) for name in file.keys()}, file.metadata()), (tensors, metadata))
    numpy_format.save_file(tensors, tmp_path / "b.cnn", metadata)
    assert_equal(model_file.read(tmp_path / "b.cnn"), (tensors, metadata))


# ---------------------------------------------------------------- damage


def test_every_truncation_is_refused(tmp_path):
    data = file_bytes(tmp_path, *small())
    for length in range(len(data)):
        with pytest.raises(ValueError, match="^model file "):
            model_file.parse(data[:length])
    for more in (b"\0", b" " * 64):
        with pytest.raises(ValueError, match="must fill the file"):
            model_file.parse(data + more)


def test_every_changed_byte_is_an_error_or_a_valid_file(tmp_path):
    """One random value at each position, all 255 at every seventh; in the header and beyond it."""
    expected, metadata = small()
    data = file_bytes(tmp_path, expected, metadata)
    begin = 8 + int.from_bytes(data[:8], "little")
    values = random.Random(0)
    opened = refused = 0
    for at in range(len(data)):
        for value in range(256) if at % 7 == 0 else [values.randrange(256)]:
            if value == data[at]:
                continue
            damaged = data[:at] + bytes([value]) + data[at + 1 :]
            try:
                tensors, strings = model_file.parse(damaged)
            except ValueError as error:
                assert str(error).startswith("model file in memory: ") and len(str(error)) > 40
                assert at < begin, f"byte {at} is data and cannot be wrong"
                refused += 1
                continue
            opened += 1
            assert len(tensors) + len(strings) >= len(expected)
            assert sum(array.nbytes for array in tensors.values()) == len(data) - begin
            if at >= begin:
                assert b"".join(array.tobytes() for array in tensors.values()) == damaged[begin:]
    assert opened > 1000 and refused > 5000


def refusals():
    one = b"\0" * 4
    yield "empty", b"", "must begin with 8 bytes"
    yield "no header", b"\0" * 8, "must have { at byte 0, but ends there"
    yield "length beyond the file", (100).to_bytes(8, "little") + b"{}", "within the file, got 2 bytes"
    cap = "at most 100000000 bytes long, got "
    yield "length beyond the cap", (100_000_001).to_bytes(8, "little") + b"{}", cap + "100000001"
    yield "length 2^64 - 1", b"\xff" * 8 + b"{}", cap + "18446744073709551615"
    yield "length 2^63", (2**63).to_bytes(8, "little") + b"{}", "at most"
    yield "leading space", raw(" {}"), "{ at byte 0"
    yield "a list", raw("[]"), "{ at byte 0"
    yield "deep lists", raw("[" * 100_000), "{ at byte 0"
    yield "deep objects", raw('{"a":' * 100_000), 'tensor "a": the properties'
    yield "deep metadata", raw('{"__metadata__":{"a":' + "[" * 100_000), "a string at byte"
    yield "deep shape", raw('{"a":{"shape":' + "[" * 100_000), "a whole number"
    yield "trailing text", raw("{}x"), "nothing after its }"
    yield "trailing zero", raw("{}\0"), "got byte 0x00"
    yield "trailing comma", raw('{"__metadata__":{},}'), "a string at byte"
    yield "single quotes", raw("{'a':1}"), "a string at byte 1"
    yield "comment", raw("{/**/}"), "a string at byte 1"
    yield "no name", raw({"": entry()}, one), "must have a name"
    yield "bad UTF-8", raw(b'{"\xff":1}'), "UTF-8 at byte 2, got byte 0xff"
    yield "overlong UTF-8", raw(b'{"\xc0\xaf":1}'), "UTF-8 at byte 2"
    yield "overlong UTF-8 of 3 bytes", raw(b'{"\xe0\x80\xaf":1}'), "UTF-8 at byte 2"
    yield "overlong UTF-8 of 4 bytes", raw(b'{"\xf0\x80\x80\xaf":1}'), "UTF-8 at byte 2"
    yield "surrogate in UTF-8", raw(b'{"\xed\xa0\x80":1}'), "UTF-8 at byte 2"
    yield "beyond Unicode", raw(b'{"\xf4\x90\x80\x80":1}'), "UTF-8 at byte 2"
    yield "cut UTF-8", raw(b'{"\xf0\x9f"'), "UTF-8 at byte 2"
    yield "control character", raw(b'{"a\n":1}'), "no control character in a string at byte 3"
    yield "zero character", raw(b'{"a\\u0000":1}'), "must not have the character 0"
    yield "lone surrogate", raw('{"\\ud800":1}'), "surrogates in pairs"
    yield "lone low surrogate", raw('{"\\udc00":1}'), "surrogates in pairs"
    yield "two high surrogates", raw('{"\\ud800\\ud800":1}'), "surrogates in pairs"
    yield "bad escape", raw('{"\\x41":1}'), "an escape of JSON"
    yield "short escape", raw('{"\\u12"'), "four hexadecimal digits"
    yield "open string", raw('{"abc'), "the end of a string"
    yield "metadata twice", raw('{"__metadata__":{},"__metadata__":{}}'), "__metadata__ once"
    yield "metadata key twice", raw('{"__metadata__":{"k":"1","j":"","k":"2"}}'), 'metadata "k": keys must differ'
    yield "escaped key twice", raw('{"__metadata__":{"k":"1","\\u006b":"2"}}'), 'metadata "k": keys must differ'
    yield "metadata number", raw('{"__metadata__":{"k":1}}'), "a string at byte"
    yield "metadata null", raw('{"__metadata__":null}'), "before the metadata"
    yield "metadata flood", raw({"__metadata__": {str(i): "" for i in range(4097)}}), "at most 4096 entries"
    yield "tensor null", raw('{"a":null}'), "before a tensor's properties"
    twice = f'{{"a":{json.dumps(entry())},"a":{json.dumps(entry(offsets=(4, 8)))}}}'
    yield "tensor twice", raw(twice, one + one), 'tensor "a": names must differ'
    yield "property twice", raw('{"a":{"dtype":"F32","dtype":"F32"}}'), '"dtype" twice'
    yield "unknown property", raw({"a": entry(path="/etc/passwd")}, one), 'once each, got "path"'
    for missing in ("dtype", "shape", "data_offsets"):
        rest = {key: value for key, value in entry().items() if key != missing}
        yield f"no {missing}", raw({"a": rest}, one), f'tensor "a": {missing} is missing'
    for dtype in ("F64", "F16", "BF16", "I64", "BOOL"):
        yield dtype, raw({"a": entry(dtype)}, one), f"dtype must be F32, U8 or I32, got {dtype}"
    yield "unknown dtype", raw({"a": entry("f32\n")}, one), 'got "f32?"'
    yield "dtype number", raw({"a": entry(1)}, one), "a string at byte"
    yield "scalar", raw({"a": entry(shape=())}, one), "shape must have 1 to 4 dimensions, got none"
    yield "rank 5", raw({"a": entry(shape=(1,) * 5)}, one), "shape must have 1 to 4 dimensions, got more"
    yield "rank 100000", raw({"a": entry(shape=(1,) * 100_000)}, one), "got more"
    yield "dimension 0", raw({"a": entry(shape=(0,), offsets=(0, 0))}), "dimension must be 1 to 2147483647, got 0"
    yield "dimension 2^31", raw({"a": entry(shape=(2**31,))}, one), "got 2147483648"
    yield "dimension -1", raw({"a": entry(shape=(-1,))}, one), "a whole number that is not negative"
    yield "dimension 1.0", raw({"a": entry(shape=(1.0,))}, one), "a whole number at byte"
    yield "dimension 1e0", raw('{"a":{"shape":[1e0]}}', one), "a whole number at byte"
    yield "dimension 01", raw('{"a":{"shape":[01]}}', one), "without leading zeros"
    yield "dimension +1", raw('{"a":{"shape":[+1]}}', one), "a whole number"
    yield "dimension true", raw('{"a":{"shape":[true]}}', one), "a whole number"
    yield "dimension 2^63", raw({"a": entry(shape=(2**63,))}, one), "below 2^63"
    yield "dimension 10^1000", raw('{"a":{"shape":[1%s]}}' % ("0" * 1000), one), "below 2^63"
    yield "product 2^64", raw({"a": entry(shape=(2**16,) * 4)}, one), "the shape has 2^63 bytes or more"
    yield "product 2^64 + 4", raw({"a": entry(shape=(641, 6700417, 2**30, 2**2))}, one), "bytes"
    yield "product 2^62", raw({"a": entry("U8", (2**30, 2**30, 4), (0, 2**62))}, one), "within the 4 bytes"
    yield "offset -1", raw({"a": entry(offsets=(-1, 3))}, one), "a whole number that is not negative"
    yield "offset 0.5", raw({"a": entry(offsets=(0, 4.5))}, one), "at byte"
    yield "offset 2^64", raw({"a": entry(offsets=(0, 2**64))}, one), "below 2^63"
    yield "one offset", raw({"a": entry(offsets=(0,))}, one), ", between data_offsets"
    yield "three offsets", raw({"a": entry(offsets=(0, 4, 4))}, one), "] after two data_offsets"
    yield "backward offsets", raw({"a": entry(offsets=(4, 0))}, one), "4 bytes apart, as shape and dtype say, got [4,"
    yield "wrong size", raw({"a": entry(shape=(2,))}, one), "8 bytes apart"
    longer = entry(shape=(2,), offsets=(0, 8))
    yield "beyond the file", raw({"a": longer}, one), "within the 4 bytes that follow the header"
    yield "hole at the start", raw({"a": entry(offsets=(4, 8))}, one + one), "got 4, which leaves a hole"
    yield "hole", raw({"a": entry(), "b": entry(offsets=(8, 12))}, one * 3), "got 8, which leaves a hole"
    yield "overlap", raw({"a": longer, "b": entry(offsets=(4, 8))}, one * 2), "got 4, which overlaps it"
    yield "the same place", raw({"a": entry(), "b": entry()}, one), "overlaps it"
    yield "bytes left", raw({"a": entry()}, one + b"x"), "must fill the file, got 4 bytes of tensors and 5"
    unaligned = {"a": entry("U8", (1,), (0, 1)), "b": entry(offsets=(1, 5))}
    yield "not aligned", raw(unaligned, one + b"x"), "multiple of the element's 4 bytes, got 1"
    flood = {str(i): entry("U8", (1,), (i, i + 1)) for i in range(65537)}
    yield "tensor flood", raw(flood, b"x" * 65537), "at most 65536 tensors"
    yield "long name", raw({"n" * 5000: entry("F64")}, one), 'tensor "' + "n" * 89 + '...": dtype'
    yield "name that cuts", raw({"é" * 100: entry("F64")}, one), 'tensor "' + "é" * 44 + '...": dtype'


@pytest.mark.parametrize("data, sentence", [pytest.param(*case[1:], id=case[0]) for case in refusals()])
def test_refusals(tmp_path, data, sentence):
    (tmp_path / "bad.cnn").write_bytes(data)
    for function, argument in ((model_file.parse, data), (model_file.read, tmp_path / "bad.cnn")):
        with pytest.raises(ValueError) as error:
            function(argument)
        assert sentence in str(error.value)


def test_what_json_allows_is_read():
    text = ' \n\t\r{ "a" : { "shape" : [ 1 , 1 ] , "data_offsets" : [ 0 , 4 ] , "dtype" : "F32" } } \n'.lstrip()
    assert model_file.parse(raw(text, b"\0\0\x80\x3f"))[0]["a"].tolist() == [[1.0]]
    text = r'{"__metadata__":{"\"\\\/\b\f\n\r\t":"\u00E9\ud83d\ude00\u6f22"}}'
    assert model_file.parse(raw(text))[1] == {'"\\/\b\f\n\r\t': "é😀漢"}
    assert model_file.parse(raw("{}")) == ({}, {})
    assert model_file.parse(raw('{"__metadata__":{}}')) == ({}, {})


def test_tensors_may_stand_in_any_order_in_the_header():
    header = {"b": entry(offsets=(4, 8)), "a": entry("U8", (4,), (0, 4)), "c": entry("I32", offsets=(8, 12))}
    tensors, _ = model_file.parse(raw(header, b"\1\2\3\4" + b"\0\0\x80\x3f" + b"\5\0\0\0"))
    assert list(tensors) == ["a", "b", "c"]
    assert [array.tolist() for array in tensors.values()] == [[1, 2, 3, 4], [1.0], [5]]


def test_a_huge_claim_takes_no_memory():
    """Sizes are checked against the file before memory is taken."""
    before = _core.allocations()
    with pytest.raises(ValueError, match="within the 0 bytes"):
        model_file.parse(raw({"a": entry("U8", (2**31 - 1, 1000), (0, (2**31 - 1) * 1000))}))
    assert _core.allocations() - before < 10


# ---------------------------------------------------------------- reading paths


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.cnn.*cannot be opened"):
        model_file.read(tmp_path / "nothing.cnn")
    with pytest.raises(IsADirectoryError, match="regular file"):
        model_file.read(tmp_path)
    os.mkfifo(tmp_path / "pipe.cnn")
    with pytest.raises(OSError, match="regular file"):
        model_file.read(tmp_path / "pipe.cnn")
    with pytest.raises(ValueError, match="character 0"):
        model_file.read("a\0b")
    with pytest.raises(TypeError):
        model_file.read(3.5)


def test_tensors_are_read_to_where_they_shall_lie(tmp_path):
    tensors, metadata = small()
    model_file.write(tmp_path / "a.cnn", tensors, metadata)
    for left_out in (None, *tensors):
        file = model_file.begin(tmp_path / "a.cnn")
        assert file.metadata() == metadata
        assert file.entries() == {name: (array.dtype.name, array.shape) for name, array in tensors.items()}
        places = {name: np.full_like(array, 7) for name, array in tensors.items() if name != left_out}
        file.read_into({**places, "no such tensor": np.zeros(1)})
        for name, place in places.items():
            assert place.tobytes() == tensors[name].tobytes(), name
        with pytest.raises(ValueError, match="read already"):
            file.read_into(places)


def test_places_that_do_not_fit_are_refused(tmp_path):
    array = np.arange(6, dtype=np.float32)
    model_file.write(tmp_path / "a.cnn", {"x": array})
    fixed = np.zeros(6, np.float32)
    fixed.flags.writeable = False
    for place in (np.zeros(5, np.float32), np.zeros(12, np.float32)[::2], fixed):
        with pytest.raises(ValueError, match="24 bytes|contiguous"):
            model_file.begin(tmp_path / "a.cnn").read_into({"x": place})
    with pytest.raises(ValueError, match="by path"):
        _core.ModelFile(header_only=True)


def test_a_file_that_is_shortened_between_header_and_tensors(tmp_path):
    path = tmp_path / "a.cnn"
    array = np.arange(1000, dtype=np.float32)
    model_file.write(path, {"x": array})
    size = path.stat().st_size
    file = model_file.begin(path)
    os.truncate(path, size - 1)
    with pytest.raises(ValueError, match=f"a.cnn.*became shorter than its {size} bytes"):
        file.read_into({"x": np.empty_like(array)})


def test_files_are_closed(tmp_path):
    path = tmp_path / "a.cnn"
    model_file.write(path, *small())
    (tmp_path / "bad.cnn").write_bytes(b"12345678901234")
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        model_file.read(path)
        model_file.begin(path)
        model_file.begin(path).read_into({})
        with pytest.raises(ValueError):
            model_file.read(tmp_path / "bad.cnn")
        with pytest.raises(ValueError):
            model_file.begin(tmp_path / "bad.cnn")
    assert len(os.listdir("/dev/fd")) == before


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize(
    "tensors, metadata, sentence",
    [
        ({"a": np.zeros(1)}, None, "tensor 'a' must be float32, uint8 or int32, got float64"),
        ({"a": np.zeros(1, np.float16)}, None, "got float16"),
        ({"a": np.zeros((), np.float32)}, None, "1 to 4 dimensions and at least one element, got shape \\(\\)"),
        ({"a": np.zeros((1,) * 5, np.float32)}, None, "1 to 4 dimensions"),
        ({"a": np.zeros((0, 3), np.float32)}, None, "at least one element"),
        ({"": np.zeros(1, np.float32)}, None, 'must not be ""'),
        ({"__metadata__": np.zeros(1, np.float32)}, None, "must not be"),
        ({1: np.zeros(1, np.float32)}, None, "the name of a tensor must be a string, got 1"),
        ({"a\0": np.zeros(1, np.float32)}, None, "character 0"),
        ({"\ud800": np.zeros(1, np.float32)}, None, "lone surrogates"),
        ({}, {"k": 1}, "the metadata 'k' must be a string, got 1"),
        ({}, {1: "v"}, "a key of the metadata must be a string"),
        ({}, {"k": "\0"}, "character 0"),
        ({}, {str(i): "" for i in range(4097)}, "at most 4096 entries"),
        ({}, {"k": "x" * 100_000_000}, "at most 100,000,000 bytes"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_before_anything_is_written(tmp_path, tensors, metadata, sentence):
    path = tmp_path / "a.cnn"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match=sentence):
        model_file.write(path, tensors, metadata)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.cnn"]


class Failing:
    """Stands in for a function of os: call number `at` raises."""

    def __init__(self, function, at, error):
        self.function, self.at, self.error, self.calls = function, at, error, 0

    def __call__(self, *arguments):
        self.calls += 1
        if self.calls == self.at:
            raise self.error
        return self.function(*arguments)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_every_failing_call_leaves_the_old_file(tmp_path, monkeypatch, error):
    """Every write, the flush, the renaming and the opening: all calls before the new file is in place."""
    path = tmp_path / "a.cnn"
    model_file.write(path, {"old": np.ones(3, np.float32)})
    old = path.read_bytes()
    failures = 0
    for name, before in (("write", 5), ("fsync", 1), ("replace", 1), ("open", 1), ("fchmod", 1)):
        for at in range(1, before + 1):
            failing = Failing(getattr(os, name), at, error)
            with monkeypatch.context() as patch:
                patch.setattr(os, name, failing)
                with pytest.raises(type(error)):
                    model_file.write(path, *small())
            assert failing.calls == at, f"os.{name} must be called {at} times"
            assert path.read_bytes() == old and os.listdir(tmp_path) == ["a.cnn"], f"os.{name}, call {at}"
            failures += 1
    assert failures == 9
    model_file.write(path, *small())
    assert_equal(model_file.read(path), small())


def test_a_full_disk_is_told_with_the_path(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", Failing(os.fsync, 1, OSError(errno.EIO, "Input/output error")))
    with pytest.raises(OSError, match="a.cnn"):
        model_file.write(tmp_path / "a.cnn", *small())
    assert os.listdir(tmp_path) == []


def test_a_failing_flush_of_the_folder_is_told(tmp_path, monkeypatch):
    """The new file is in place by then. EINVAL is how some file systems say that they have no such flush."""
    path = tmp_path / "a.cnn"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Failing(os.fsync, 2, OSError(errno.EIO, "Input/output error")))
        with pytest.raises(OSError, match="Input/output"):
            model_file.write(path, *small())
    assert_equal(model_file.read(path), small())
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Failing(os.fsync, 2, OSError(errno.EINVAL, "Invalid argument")))
        model_file.write(path, {}, {})
    assert model_file.read(path) == ({}, {})


def test_short_writes_are_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:5]))
    model_file.write(tmp_path / "a.cnn", *small())
    assert_equal(model_file.read(tmp_path / "a.cnn"), small())


def test_the_order_is_write_flush_rename_flush(tmp_path, monkeypatch):
    calls = []
    for name in ("write", "fsync", "close", "replace"):

        def record(*arguments, name=name, function=getattr(os, name)):
            calls.append(name)
            return function(*arguments)

        monkeypatch.setattr(os, name, record)
    model_file.write(tmp_path / "a.cnn", {"a": np.ones(1, np.float32)})
    assert calls == ["write", "write", "fsync", "close", "replace", "fsync", "close"]


def test_permissions_and_links(tmp_path):
    path, link = tmp_path / "a.cnn", tmp_path / "link.cnn"
    model_file.write(path, {}, {})
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    path.chmod(0o600)
    link.symlink_to("a.cnn")
    model_file.write(link, *small())
    assert link.is_symlink() and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert_equal(model_file.read(path), small())


def test_only_a_regular_file_is_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe.cnn")
    for path in (tmp_path, tmp_path / "pipe.cnn"):
        with pytest.raises(OSError, match="regular file"):
            model_file.write(path, {}, {})
    with pytest.raises(FileNotFoundError):
        model_file.write(tmp_path / "no" / "folder.cnn", {}, {})
    assert os.listdir(tmp_path) == ["pipe.cnn"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kill_at_any_moment_leaves_a_whole_file(tmp_path):
    """50 writers are killed (SIGKILL) at random moments of saving; what is there is always one of the two files."""
    path = tmp_path / "a.cnn"
    versions = [{"x": np.full(100_000, value, np.float32)} for value in (1, 2)]
    model_file.write(path, versions[0])
    moments = random.Random(0)
    for _ in range(50):
        child = os.fork()
        if child == 0:
            try:
                while True:
                    for tensors in versions:
                        model_file.write(path, tensors)
            finally:
                os._exit(1)
        time.sleep(moments.uniform(0.001, 0.01))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), "the writer failed on its own"
        values = model_file.read(path)[0]["x"]
        assert values.shape == (100_000,) and values[0] in (1, 2) and (values == values[0]).all()
