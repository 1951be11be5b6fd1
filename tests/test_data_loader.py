"""The loader: the same bytes from any number of workers, resumed or not, with or without a cache."""

import gc
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from cnncore import Input, Sequential, data, layers
from cnncore.data.workers import ordered_map
from data_files import encoded, pattern, photo_folder, write

WORKERS = (0, 1, 2, 4)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return data.ImageFolder(photo_folder(tmp_path_factory.mktemp("photos")))


@pytest.fixture(autouse=True)
def no_threads_are_left():
    yield
    gc.collect()
    left = [t.name for t in threading.enumerate() if t.name.startswith("cnncore-data")]
    assert not left


def noise(image, *, seed, epoch, index):
    """A transform: crops and adds noise, drawn from (seed, epoch, index)."""
    array = np.asarray(image)
    generator = np.random.default_rng([seed, epoch, index])
    top, left = generator.integers(0, 5, 2)
    time.sleep(generator.random() * 2e-3)  # workers overtake each other
    return array[top : top + 24, left : left + 24] ^ generator.integers(0, 64, (24, 24, 1), np.uint8)


def digest(batches):
    result = hashlib.sha256()
    for x, y in batches:
        result.update(f"{x.shape} {x.dtype} {y.dtype}".encode())
        result.update(np.ascontiguousarray(x))
        result.update(np.ascontiguousarray(y))
    return result.hexdigest()


def loader(photos, **options):
    return data.Loader(
        photos, **{**dict(batch_size=5, shuffle=True, seed=11, image_size=(32, 32), transform=noise), **options}
    )


# ------------------------------------------------------------------------------------------------- the same bytes


@pytest.mark.parametrize("on_arrays", [False, True])
def test_same_bytes_for_any_number_of_workers(photos, on_arrays):
    dataset = photos
    if on_arrays:
        dataset = data.ArrayDataset(np.stack([pattern(32, 32, seed=i) for i in range(24)]), np.arange(24) % 3)
    epochs = set()
    for epoch in range(3):
        digests = set()
        for workers in WORKERS:
            for prefetch in (1, 3):
                batches = loader(dataset, workers=workers, prefetch=prefetch)
                batches.set_epoch(epoch)
                digests.add(digest(batches))
        assert len(digests) == 1
        epochs |= digests
    assert len(epochs) == 3  # another order and other draws in each epoch


@pytest.mark.parametrize("workers", WORKERS)
def test_resumed_in_mid_epoch(photos, workers):
    whole = loader(photos)
    expected = [[(x.tobytes(), y.tolist()) for x, y in whole] for _ in range(3)]
    for stop in (0, 1, 3, len(whole) - 1, len(whole)):
        first = loader(photos, workers=workers)
        list(first)
        walk = iter(first)
        got = [next(walk) for _ in range(stop)]
        state = first.state_dict()
        walk.close()
        assert (state["epoch"], state["batch"]) == ((1, stop) if stop < len(whole) else (2, 0))
        second = loader(photos, seed=99, workers=(workers + 1) % 3)
        second.load_state_dict(state)
        rest = [[(x.tobytes(), y.tolist()) for x, y in second] for _ in range(2)]
        if stop == len(whole):
            assert rest[0] == expected[2]
        else:
            assert [(x.tobytes(), y.tolist()) for x, y in got] + rest[0] == expected[1]
            assert rest[1] == expected[2]


def test_epochs_count_walks(photos):
    batches = loader(photos, workers=1)
    assert batches.epoch == 0 and batches.state_dict()["batch"] == 0
    first = digest(batches)
    assert batches.epoch == 0 and batches.state_dict()["epoch"] == 1
    next(iter(batches))  # a walk that is broken off is an epoch too
    assert batches.epoch == 1
    third = digest(batches)
    assert batches.epoch == 2
    batches.set_epoch(0)
    assert digest(batches) == first != third
    batches.set_epoch(2)
    assert digest(batches) == third


def test_two_walks_at_once(photos):
    batches = loader(photos, workers=2)
    a, b = iter(batches), iter(batches)
    pairs = list(zip(a, b))
    batches.set_epoch(0)
    assert digest(x for x, _ in pairs) == digest(batches)
    batches.set_epoch(1)
    assert digest(y for _, y in pairs) == digest(batches)


def test_every_image_and_epoch_has_its_own_draws(photos):
    """Workers that inherit one generator repeat each other's draws; here every draw must be another."""
    drawn = []

    def spy(image, *, seed, epoch, index):
        drawn.append((seed, epoch, index))
        return np.random.default_rng([seed, epoch, index]).integers(0, 256, (8, 8, 3), np.uint8)

    batches = loader(photos, workers=4, transform=spy)
    seen = Counter(image.tobytes() for _ in range(3) for x, _ in batches for image in x)
    assert len(seen) == 3 * len(photos) and set(seen.values()) == {1}
    assert sorted(drawn) == [(11, e, i) for e in range(3) for i in range(len(photos))]


def test_repeated_images_have_their_own_draws(photos):
    drawn = []

    def spy(image, *, seed, epoch, index):
        drawn.append(index)
        return image

    sampler = data.WeightedSampler([1] + [0] * 22 + [1], 30)
    list(loader(photos, shuffle=False, sampler=sampler, transform=spy, workers=2))
    assert sorted(set(i % 24 for i in drawn)) == [0, 23] and len(set(drawn)) == 30
    assert sorted(i // 24 for i in drawn if i % 24 == 0) == list(range(sum(i % 24 == 0 for i in drawn)))


def test_augmentations_draw_by_seed_epoch_and_index(photos):
    augment = pytest.importorskip("cnncore.augment")
    transform = augment.Compose([augment.RandomResizedCrop(24), augment.HorizontalFlip(), augment.Brightness(0.4)])
    results = {digest(loader(photos, image_size=None, transform=transform, workers=w)) for w in WORKERS}
    assert len(results) == 1
    same = data.ArrayDataset(np.stack([pattern(32, 32)] * 12), np.zeros(12))
    batches = loader(same, transform=transform, workers=4, batch_size=12)
    images = {image.tobytes() for _ in range(2) for x, _ in batches for image in x}
    assert len(images) == 24


def test_mixed_batches(photos):
    augment = pytest.importorskip("cnncore.augment")
    mix = augment.MixUp(0.4, num_classes=3)
    results = {digest(loader(photos, batch_transform=mix, workers=w)) for w in WORKERS}
    assert len(results) == 1
    for (x, y), (plain, labels) in zip(loader(photos, batch_transform=mix), loader(photos)):
        assert y.shape == (len(x), 3) and np.allclose(y.sum(axis=1), 1) and x.dtype == np.uint8
        np.testing.assert_array_equal(mix(plain, labels, seed=11, epoch=0, indices=_indices(photos, plain, 11))[0], x)
        break


def _indices(photos, batch, seed):
    return data.ShuffledSampler(len(photos)).order(seed, 0)[: len(batch)].tolist()


# ------------------------------------------------------------------------------------------------- batches


def test_batches_of_files_equal_pillow(photos):
    batches = data.Loader(photos, 7, image_size=(20, 24), resize="stretch", draft_size=None)
    for number, (x, y) in enumerate(batches):
        for image, label, path in zip(x, y, photos.paths[7 * number :]):
            expected = Image.open(path).resize((24, 20), Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(image, np.asarray(expected))
            assert photos.class_names[label] == os.path.basename(os.path.dirname(path))
    assert number == 3 and len(x) == 3 and len(batches) == 4
    assert [len(x) for x, _ in data.Loader(photos, 7, drop_last=True, image_size=8)] == [7, 7, 7]


def test_batches_of_arrays():
    x, y = np.random.default_rng(0).random((10, 4, 5, 3), np.float32), np.arange(10)
    for workers in WORKERS:
        got = list(data.Loader(data.ArrayDataset(x, y), 4, workers=workers))
        np.testing.assert_array_equal(np.concatenate([b[0] for b in got]), x, strict=True)
        assert [len(b[1]) for b in got] == [4, 4, 2]
    got[0][0][:] = 0  # a batch is the consumer's own
    assert x.min() > 0
    single = list(data.Loader(data.ArrayDataset(x), None, shuffle=True, seed=1))
    assert len(single) == 10 and single[0].shape == (4, 5, 3)
    as_float = next(iter(data.Loader(data.ArrayDataset(np.full((2, 3, 3), 200, np.uint8)), dtype="float32")))
    assert as_float.dtype == np.float32 and (as_float == 200).all() and as_float.shape == (2, 3, 3, 1)
    as_bytes = next(iter(data.Loader(data.ArrayDataset(np.array([[[-5, 1.6, 300]]])), dtype="uint8")))
    assert as_bytes.reshape(-1).tolist() == [0, 2, 255]
    part = data.ArrayDataset(x, y).subset([9, 3])
    assert next(iter(data.Loader(part)))[1].tolist() == [9, 3]


@pytest.mark.parametrize(
    "shape, size", [((40, 60), (20, 20)), ((60, 40), (20, 30)), ((33, 47), (50, 20)), ((5, 9), (16, 8))]
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_resizing(shape, size, channels):
    array = pattern(*shape, channels)
    for kind in (array, Image.fromarray(array[..., 0] if channels == 1 else array), array.astype(np.float32)):
        for resize in ("crop", "stretch", "pad"):
            result = np.asarray(data.resized(kind, size, resize))
            assert result.shape[:2] == size
    ramp = np.broadcast_to(np.linspace(0, 200, shape[1], dtype=np.float32)[:, None], (*shape, 1))
    scale = min(shape[0] / size[0], shape[1] / size[1])
    kept = size[1] * scale  # columns of the source in a crop around the centre
    step = 200 / (shape[1] - 1)
    middle = data.resized(ramp, size, "crop")[size[0] // 2, :, 0]
    positions = (shape[1] - kept) / 2 + (np.arange(size[1]) + 0.5) * scale - 0.5
    inner = slice(2, -2)
    # A triangle of weights, sampled at pixels, keeps a ramp within a tenth of a pixel; a shift would be half of one.
    np.testing.assert_allclose(middle[inner], positions[inner] * step, atol=0.1 * step)
    padded = data.resized(np.full((*shape, 1), 9, np.uint8), size, "pad")
    scale = min(size[0] / shape[0], size[1] / shape[1])
    assert (padded == 9).sum() == round(shape[0] * scale) * round(shape[1] * scale) and set(np.unique(padded)) <= {0, 9}
    assert data.resized(array, shape, "crop") is array


def test_draft_size(tmp_path):
    photo_folder(tmp_path, classes=("cat",), size=(400, 560), each=1)
    photos = data.ImageFolder(tmp_path)
    sizes = []

    def spy(image, **draws):
        sizes.append(image.size)
        return image.resize((8, 8))

    for draft, expected in ((None, (560, 400)), (48, (70, 50)), ((51, 60), (140, 100))):
        sizes.clear()
        list(data.Loader(photos, 1, draft_size=draft, transform=spy, workers=0))
        assert sizes[0] == expected
    exact = next(iter(data.Loader(photos, 1, image_size=(48, 64), draft_size=None)))[0].astype(int)
    draft = next(iter(data.Loader(photos, 1, image_size=(48, 64))))[0].astype(int)
    assert 0 < np.abs(exact - draft).max() and np.abs(exact - draft).mean() < 1  # the same picture, by other filters


def test_shapes_that_differ(photos):
    with pytest.raises(ValueError, match=r"must have the same shape, got \(40, 56, 3\) of .*000.jpg.* give image_size"):
        list(data.Loader(photos, 4))
    assert len(list(data.Loader(photos, 1))) == 24
    with pytest.raises(ValueError, match="must have the shape"):
        list(data.Loader(photos, 1, transform=lambda image, **draws: np.zeros(3)))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(batch_size=0), "batch_size must be an integer >= 1"),
        (dict(shuffle=1), "shuffle must be True or False"),
        (dict(shuffle=True, sampler=data.ShuffledSampler(24)), "shuffle must be False with a sampler"),
        (dict(sampler=[1, 2]), "sampler must have order"),
        (dict(seed=-1), "seed"),
        (dict(image_size=(1, 2, 3)), "image_size"),
        (dict(image_size=0), "image_size"),
        (dict(resize="fit"), "resize must be one of"),
        (dict(draft_size="big"), "draft_size"),
        (dict(interpolation="cubic"), "did you mean 'bicubic'"),
        (dict(transform=3), "transform must be callable"),
        (dict(dtype="float64"), "dtype must be one of"),
        (dict(workers=-1), "workers"),
        (dict(prefetch=0), "prefetch"),
        (dict(on_error="ignore"), "on_error must be one of"),
        (dict(cache={1: 2}.items()), "cache must be a MemoryCache"),
        (dict(batch_size=25, drop_last=True), "batch_size must be at most the 24 images"),
        (dict(batch_size=None, batch_transform=print), "batch_transform must be left out"),
    ],
)
def test_argument_errors(photos, arguments, message):
    with pytest.raises(ValueError, match=message):
        data.Loader(photos, **arguments)


def test_state_errors(photos):
    batches = loader(photos)
    state = batches.state_dict()
    for bad, message in (
        (3, "state must be a dict"),
        ({}, "with the keys seed, epoch"),
        ({**state, "images": 7}, "got images=7"),
        ({**state, "batch": 5}, "batch must be below 5"),
        ({**state, "batch_size": 6}, "batch_size=6"),
        ({**state, "epoch": -1}, "epoch"),
        ({**state, "seed": 0.5}, "seed"),
    ):
        with pytest.raises(ValueError, match=message):
            batches.load_state_dict(bad)
        assert batches.state_dict() == state


# ------------------------------------------------------------------------------------------------- errors and threads


@pytest.mark.parametrize("workers", WORKERS)
def test_errors_come_in_order_with_the_path(tmp_path, workers):
    photo_folder(tmp_path, each=6)
    write(tmp_path / "dog" / "002.jpg", b"damaged")
    batches = data.Loader(data.ImageFolder(tmp_path), 4, image_size=16, workers=workers)
    got = []
    with pytest.raises(data.UnreadableImage, match="dog/002.jpg"):
        for _x, y in batches:
            got.append(y.tolist())
    assert got == [[0, 0, 0, 0], [0, 0, 1, 1]]

    def fail(image, *, index, **draws):
        if index == 5:
            raise KeyError("nonsense")
        return image

    batches = data.Loader(data.ImageFolder(tmp_path), 4, image_size=16, workers=workers, transform=fail)
    with pytest.raises(RuntimeError, match="the transform failed for .*cat/005.jpg.*KeyError: 'nonsense'") as caught:
        list(batches)
    assert isinstance(caught.value.__cause__, KeyError)
    assert threading.active_count() == 1 or not [t for t in threading.enumerate() if t.name.startswith("cnncore-data")]


def test_damaged_files_are_skipped_as_asked(tmp_path):
    photo_folder(tmp_path, each=6)
    bad = [write(tmp_path / "dog" / f"00{i}.jpg", b"damaged") for i in (1, 2, 3, 4)]
    photos = data.ImageFolder(tmp_path)
    results = []
    for workers in WORKERS:
        batches = data.Loader(photos, 2, image_size=16, workers=workers, on_error="skip")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            results.append(list(batches))
        assert sorted(batches.skipped) == sorted(map(str, bad)) and len(caught) == 4
        assert "skipped" in str(caught[0].message) and "dog/001.jpg" in str(caught[0].message)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # once for each file
            list(batches)
    assert len({digest(r) for r in results}) == 1
    assert [y.tolist() for _, y in results[0]] == [[0, 0]] * 3 + [[1], [1]] + [
        [2, 2]
    ] * 3  # the empty batch is left out
    report = data.check_files(photos)
    assert digest(data.Loader(photos.subset(report.readable), 14, image_size=16)) == digest(
        [tuple(np.concatenate(part) for part in zip(*results[0]))]
    )


@pytest.mark.parametrize("end", ["close", "forget", "error"])
def test_a_walk_that_is_broken_off_leaves_no_thread(photos, end):
    for _ in range(3):
        walk = iter(loader(photos, workers=4))
        next(walk)
        assert sum(t.name.startswith("cnncore-data") for t in threading.enumerate()) == 4
        if end == "close":
            walk.close()
        elif end == "forget":
            del walk
        else:
            with pytest.raises(KeyboardInterrupt):
                walk.throw(KeyboardInterrupt)
        assert not [t for t in threading.enumerate() if t.name.startswith("cnncore-data")]


def script(folder, *lines):
    """A process that runs lines of Python on a folder of images."""
    code = "\n".join(["import time", "from cnncore import data", f"photos = data.ImageFolder({str(folder)!r})", *lines])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_the_interpreter_ends_with_a_walk_open(tmp_path):
    photo_folder(tmp_path, each=4)
    child = script(
        tmp_path,
        "walk = iter(data.Loader(photos, 1, image_size=8, workers=2, prefetch=1))",
        "next(walk)",
        "print('done')",
    )
    assert child.communicate(timeout=60) == ("done\n", "") and child.returncode == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_interrupt_ends_the_wait_for_a_batch(tmp_path, workers):
    photo_folder(tmp_path, each=30)
    child = script(
        tmp_path,
        "def slow(image, **draws):",
        "    time.sleep(0.1)",
        "    return image",
        "try:",
        f"    for x, y in data.Loader(photos, 12, image_size=8, workers={workers}, prefetch=9, transform=slow):",
        "        print('batch', flush=True)",
        "        time.sleep(0.3)",
        "except KeyboardInterrupt:",
        "    print('interrupted', flush=True)",
        "    time.sleep(0.01)",
        "    import threading",
        "    print(threading.active_count())",
    )
    assert child.stdout.readline() == "batch\n"
    time.sleep(0.4)  # it waits for the next one, or makes it
    begin = time.monotonic()
    child.send_signal(signal.SIGINT)
    while (line := child.stdout.readline()) == "batch\n":
        pass
    # The pieces that the workers are at are finished: three images each, 0.3 s
    assert line == "interrupted\n" and time.monotonic() - begin < 3
    assert child.communicate(timeout=60) == ("1\n", "") and child.returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_children_iterate_anew(photos):
    batches = loader(photos, workers=2, cache=data.FileCache(10**6))
    expected = digest(batches)
    walk = iter(batches)
    next(walk)
    child = os.fork()
    if child == 0:  # pragma: no cover
        status = 1
        try:
            try:
                next(walk)
                next(walk)  # nothing is made ahead in the child
                for _ in walk:
                    pass
            except RuntimeError as error:
                if "fork" in str(error):
                    batches.set_epoch(0)
                    status = 0 if digest(batches) == expected else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    walk.close()


def test_ordered_map():
    for workers in WORKERS:
        for ahead in (1, 2, 9):
            assert list(ordered_map(lambda i: i * i, range(50), workers, ahead)) == [i * i for i in range(50)]
            assert list(ordered_map(str, [], workers, ahead)) == []

    def broken():
        yield 1
        raise OSError("the tasks end here")

    for workers in WORKERS:
        results = ordered_map(str, broken(), workers, 2)
        assert next(results) == "1"
        with pytest.raises(OSError, match="the tasks end here"):
            next(results)


@pytest.mark.parametrize("workers, ahead", [(1, 1), (2, 3), (4, 2), (4, 8)])
def test_no_more_is_made_ahead_than_allowed(workers, ahead):
    begun, lock = [], threading.Lock()

    def note(i):
        with lock:
            begun.append(i)
        return i

    for used, i in enumerate(ordered_map(note, range(60), workers, ahead), 1):
        if used % 7 == 0:
            time.sleep(0.01)  # a slow consumer
        assert len(begun) <= used + ahead and i == used - 1


def test_memory_is_bounded():
    size, batch = 64 * 64 * 3, 8

    class Endless(data.Dataset):
        def __len__(self):
            return 1200

        def image(self, index, at_least=None):
            return np.full((64, 64, 3), index % 256, np.uint8)

    batches = data.Loader(Endless(), batch, workers=4, prefetch=2)
    tracemalloc.start()
    try:
        for i, _x in enumerate(batches):
            if i % 40 == 0:
                time.sleep(0.01)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # prefetch batches made ahead, the parts of the next one and it, the one that is handed out, a piece for each worker
    assert peak < (2 + 2 + 1) * batch * size + 4 * 2 * size + 300_000 < 1200 * size / 10


# ------------------------------------------------------------------------------------------------- caches


@pytest.mark.parametrize("kind", [data.MemoryCache, data.FileCache])
@pytest.mark.parametrize("limit", [10**6, 5 * 32 * 32 * 3 + 17, 1])
def test_caches_change_nothing_but_time(photos, kind, limit):
    expected = [digest(b) for b in [loader(photos)] for _ in range(2)]
    cache = kind(limit)
    for workers in (0, 3):
        batches = loader(photos, cache=cache, workers=workers)
        assert [digest(batches) for _ in range(2)] == expected
    kept = min(24, limit // (32 * 32 * 3))
    assert len(cache) == kept and cache.used_bytes == kept * 32 * 32 * 3 <= limit
    assert cache.hits == 3 * kept and cache.hits + cache.misses == 4 * 24
    cache.clear()
    assert len(cache) == cache.used_bytes == 0 and digest(loader(photos, cache=cache)) == expected[0]


@pytest.mark.parametrize("kind", [data.MemoryCache, data.FileCache])
def test_a_changed_file_is_decoded_again(tmp_path, kind):
    path = write(tmp_path / "a" / "x.png", encoded(pattern(8, 8)))
    photos, cache = data.ImageFolder(tmp_path), kind(1000)
    batches = data.Loader(photos, 1, cache=cache)
    list(batches)
    for array in (
        pattern(8, 8, seed=5),
        pattern(16, 16, seed=6),
        pattern(8, 8, seed=7),
        pattern(30, 30),
        pattern(8, 8, seed=8),
    ):
        old = os.stat(path)
        while True:  # a write within the clock's tick of the last one leaves the times as they are
            write(path, encoded(array))
            if os.stat(path).st_mtime_ns != old.st_mtime_ns:
                break
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))  # as a copy that keeps times would
        for _ in range(2):
            np.testing.assert_array_equal(next(iter(batches))[0][0], array)
        assert cache.used_bytes in (array.nbytes, 0) and cache.used_bytes <= 1000
    os.remove(path)
    with pytest.raises(data.UnreadableImage, match="No such file"):
        list(batches)


def test_one_cache_for_several_settings(photos):
    cache = data.MemoryCache(10**7)
    for options in (
        dict(),
        dict(image_size=(28, 28)),
        dict(resize="pad"),
        dict(interpolation="nearest"),
        dict(image_size=None),
    ):
        for _ in range(2):
            assert digest(loader(photos, cache=cache, **options)) == digest(loader(photos, **options))
    grey = data.ImageFiles(photos.paths, photos.labels, channels=1)
    assert digest(loader(grey, cache=cache)) == digest(loader(grey))
    for limit in (0, 1.5, None):
        with pytest.raises(ValueError, match="limit_bytes"):
            data.FileCache(limit)


def test_a_full_disk_is_a_full_cache(monkeypatch):
    cache, pwrite, written = data.FileCache(10**6), os.pwrite, []

    def full(descriptor, content, offset):
        if sum(written) + len(content) > 20000:
            raise OSError(28, "No space left on device")
        written.append(pwrite(descriptor, content[:777], offset))  # the system may write less than asked for
        return written[-1]

    monkeypatch.setattr(os, "pwrite", full)
    arrays = [np.random.default_rng(i).random((10, 10, 3)) for i in range(20)]
    kept = [cache.put(i, 0, array) for i, array in enumerate(arrays)]
    assert any(kept) and not all(kept) and cache.used_bytes == 2400 * sum(kept)
    for i, array in enumerate(arrays):
        found = cache.get(i, 0)
        assert (found is not None) == kept[i]
        if kept[i]:
            np.testing.assert_array_equal(found, array)


# ------------------------------------------------------------------------------------------------- training


def small_model(classes=3, size=(16, 16)):
    model = Sequential(
        [
            Input((*size, 3), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(classes),
        ]
    )
    model.compile("sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"], seed=1)
    for variable in model.variables:
        variable.assign(np.random.default_rng(len(variable.shape)).normal(0, 0.3, variable.shape))
    return model


def test_fit_evaluate_and_predict_take_loaders(photos):
    weights = []
    for workers in (0, 2):
        model = small_model()
        train = loader(photos, image_size=None, transform=noise16, workers=workers)
        val = data.Loader(photos, 10, image_size=16, workers=workers)
        history = model.fit(train, epochs=2, validation_data=val, verbose=0)
        assert len(history.history["val_loss"]) == 2 and train.epoch == 1 and val.epoch == 1
        assert model.evaluate(val, verbose=0)[0] == pytest.approx(history.history["val_loss"][-1], rel=1e-5)
        images = data.Loader(data.ImageFiles(photos.paths), 10, image_size=16)
        assert model.predict(images, verbose=0).shape == (24, 3)
        weights.append(model.get_weights())
    for a, b in zip(*weights):
        np.testing.assert_array_equal(a, b)


def noise16(image, **draws):
    return noise(image, **draws)[:16, :16]


def test_training_resumed_from_the_state(photos):
    whole = small_model()
    whole.fit(loader(photos, image_size=None, transform=noise16), epochs=2, verbose=0)
    model, train = small_model(), loader(photos, image_size=None, transform=noise16, workers=1)
    model.fit(train, steps_per_epoch=3, verbose=0)
    state = train.state_dict()
    assert (state["epoch"], state["batch"]) == (0, 3)
    again = loader(photos, image_size=None, transform=noise16, seed=None, workers=2)
    again.load_state_dict(state)
    model.fit(again, epochs=2, verbose=0)
    for a, b in zip(whole.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_real_photos():
    folder = os.path.join(os.environ.get("CNNCORE_DATA", ""), "flowers", "val")
    if not os.environ.get("CNNCORE_DATA") or not os.path.isdir(folder):
        pytest.skip("CNNCORE_DATA names no folder with flowers/val")
    photos = data.ImageFolder(folder)
    digests = {digest(loader(photos, image_size=(64, 64), workers=w, batch_size=32)) for w in (0, 2)}
    assert len(digests) == 1
    exact = next(iter(data.Loader(photos, 40, image_size=(64, 64), draft_size=None)))[0].astype(int)
    draft = next(iter(data.Loader(photos, 40, image_size=(64, 64))))[0].astype(int)
    assert np.abs(exact - draft).mean() < 4
