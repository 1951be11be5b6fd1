"""The benchmarks' own arithmetic: schedules, augmentation, timing, replaced imports, the peer's training step."""

import math
import pathlib
import subprocess
import sys
import time
import types

import numpy as np
import pytest

import cnncore

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def repository_on_path(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)


def test_candidates_take_turns():
    from bench import timing

    calls, now = [], [0.0]

    def candidate(name, seconds):
        def call():
            calls.append(name)
            now[0] += seconds.pop(0)

        return call

    found = timing.alternate(
        {"a": candidate("a", [9, 1, 2, 6]), "b": candidate("b", [9, 4, 4, 4])}, rounds=3, warmup=1, clock=lambda: now[0]
    )
    assert calls == ["a", "b"] * 4
    assert found["a"].seconds == [1, 2, 6] and (found["a"].median_s, found["a"].min_s) == (2, 1)
    assert "images/s" in timing.report(found, images=10)
    assert "5.0 images/s    2.00 x the speed of b" in timing.report(found, images=10)
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        timing.alternate({}, rounds=0)


def test_head_of_a_report_names_cpu_threads_versions_and_command():
    from bench import timing

    lines = timing.environment(3, packages=("numpy", "no-such-package")).splitlines()
    assert timing.cpu_name() and timing.cpu_name() in lines[0]
    assert lines[1].split() == ["threads", "3"]
    assert f"numpy {np.__version__}" in lines[2] and "no-such-package not installed" in lines[2]
    assert "pytest" in lines[3]


def test_schedules_of_both_sides_are_the_same():
    import cnncore as cc
    from bench import schedule

    arguments = {"steps": 50, "peak": 0.2, "warmup_steps": 10, "start": 0.02}
    ours = schedule.cosine_decay(cc, **arguments)
    # float32 rounds the step's share of the run and the cosine: a few units in the last place of the peak.
    for step in range(51):
        expected = schedule.warmup_cosine(step, **arguments)
        assert math.isclose(float(ours(step)), expected, rel_tol=1e-6, abs_tol=4 * 0.2 * 2**-23)
    assert schedule.warmup_cosine(10, **arguments) == 0.2
    assert schedule.warmup_cosine(30, **arguments) == pytest.approx(0.1)


def test_batches_are_shifted_and_flipped_images():
    """Each image of a batch is found among the 81 shifts of its source and their mirror images, computed by hand."""
    from bench import cifar10

    rng = np.random.default_rng(0)
    images = rng.integers(1, 256, (6, 10, 12, 3), dtype=np.uint8)
    batches = cifar10.Batches(images, np.arange(6), 2, np.random.default_rng(1))
    assert len(batches) == 3
    seen, shifts, flips = [], set(), set()
    for _ in range(20):
        for x, y in batches:
            assert x.shape == (2, 10, 12, 3) and x.dtype == np.float32 and x.flags.c_contiguous
            for image, label in zip(x, y):
                seen.append(int(label))
                padded = np.zeros((18, 20, 3), np.uint8)
                padded[4:14, 4:16] = images[label]
                matches = [
                    (dy, dx, flip)
                    for dy in range(9)
                    for dx in range(9)
                    for flip in (1, -1)
                    if np.array_equal(image, cifar10.normalised(padded[dy : dy + 10, dx : dx + 12][:, ::flip]))
                ]
                assert len(matches) == 1
                shifts.add(matches[0][:2])
                flips.add(matches[0][2])
    assert sorted(seen) == sorted(list(range(6)) * 20)
    assert len(shifts) > 40 and flips == {1, -1}


def test_only_import_lines_are_replaced():
    from bench import keras_scripts

    rest = "x = keras.Input(...)  # keras\n"
    script = f"import keras\nfrom keras import layers\nfrom keras.callbacks import CSVLogger\n{rest}"
    assert keras_scripts.for_cnncore(script) == (
        f"import cnncore as keras\nfrom cnncore import layers\nfrom cnncore.callbacks import CSVLogger\n{rest}"
    )
    with pytest.raises(ValueError, match="must have a line"):
        keras_scripts.for_cnncore("import kerastuner\n")


def test_memory_reads_the_high_water_mark():
    """In a process of its own: others give memory back meanwhile."""
    from bench import memory

    if not pathlib.Path("/proc/self/status").exists():
        pytest.skip("the high-water mark is read from /proc")
    code = """if True:
        import pathlib, numpy as np
        from bench import memory
        pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = memory.status_bytes("VmRSS")
        block = np.ones(8 << 20)  # 64 MiB
        del block
        print(memory.status_bytes("VmHWM") - before)"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 60 << 20 <= int(ran.stdout) <= 80 << 20
    with pytest.raises(OSError, match="must have NoSuchField"):
        memory.status_bytes("NoSuchField")


def test_peer_steps_by_the_equations_of_keras():
    """v = m v - lr g, w += m v - lr g with g = gradient + decay w, the rate changing from step to step; on a linear
    model whose gradient is written out."""
    torch = pytest.importorskip("torch")
    from bench import torch_training

    rng = np.random.default_rng(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 4)).double()
    w, b = (p.detach().numpy().copy() for p in net.parameters())
    trainer = torch_training.Trainer(net, momentum=0.9, weight_decay=0.01)
    v_w, v_b = np.zeros_like(w), np.zeros_like(b)
    for rate in (0.0, 0.1, 0.3, 0.3, 0.05):
        x, y = rng.normal(size=(5, 1, 2, 3)), rng.integers(0, 4, 5)
        flat = x.transpose(0, 3, 1, 2).reshape(5, 6)
        logits = flat @ w.T + b
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        penalty = 0.005 * (w**2).sum()
        expected = -np.log(p[np.arange(5), y]).mean()
        assert trainer.penalty() == pytest.approx(penalty, rel=1e-12)
        found = float(trainer.step(trainer.images(x), trainer.labels(y), rate))
        assert found == pytest.approx(expected, rel=1e-12)
        p[np.arange(5), y] -= 1
        grad_w, grad_b = p.T @ flat / 5 + 0.01 * w, p.sum(axis=0) / 5
        v_w, v_b = 0.9 * v_w - rate * grad_w, 0.9 * v_b - rate * grad_b
        w, b = w + 0.9 * v_w - rate * grad_w, b + 0.9 * v_b - rate * grad_b
        for parameter, value in zip(net.parameters(), (w, b)):
            np.testing.assert_allclose(parameter.detach().numpy(), value, rtol=1e-12, atol=1e-14)


def test_copying_weights_needs_the_same_layers():
    pytest.importorskip("torch")
    from bench import torch_networks
    from cnncore import models

    with pytest.raises(ValueError, match="must have the same layers.*stage"):
        torch_networks.copy_weights(models.LeNet(), torch_networks.VGGCifar())


def test_every_command_has_arguments_and_help(capsys):
    from bench import __main__ as command_line

    for name in command_line.COMMANDS:
        with pytest.raises(SystemExit) as stopped:
            command_line.main([name, "--help"])
        assert stopped.value.code == 0 and "--threads" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command_line.main(["cifar10", "--threads", "0"])
    assert "--threads must be at least 1" in capsys.readouterr().err


def test_blocks_take_turns_and_give_their_medians():
    from bench import timing

    now, calls = [0.0], []

    def candidate(name, seconds):
        def call():
            calls.append(name)
            now[0] += next(seconds)

        return call

    # The short one: a call before each block, then calls until a block of 4 is full.
    short = iter([9, 1, 1, 1, 1, 9, 1, 2, 3])
    found = timing.race(
        {"short": candidate("short", short), "long": candidate("long", iter([5, 5, 7]))},
        rounds=1,
        block_s=4,
        settle_s=0,
        clock=lambda: now[0],
    )
    assert found["short"].seconds == [2] and found["long"].seconds == [7]
    assert calls == ["short"] * 5 + ["long"] * 2 + ["short"] * 4 + ["long"]
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        timing.race({}, rounds=0)


ROW = {
    "network": "lenet",
    "what": "training",
    "batch": 64,
    "threads": 2,
    "flops": 1e9,
    "peak_flops_per_second": 4e11,
    "seconds": {"cnncore": [0.004, 0.005, 0.009], "A": [0.02], "B": [0.01, 0.011, 0.009]},
    "differences": {},
    "memory_bytes": {"cnncore": 30 << 20, "A": 60 << 20, "B": 40 << 20},
}


def test_each_prediction_comes_after_a_pause(monkeypatch):
    from bench import pauses

    happened = []
    monkeypatch.setattr(pauses.time, "sleep", lambda seconds: happened.append(seconds))
    candidates = {name: lambda name=name: happened.append(name) for name in ("ours", "theirs")}
    seconds = pauses.after_pauses(candidates, 0.5, rounds=2)
    assert happened == [0.5, "ours", 0.5, "theirs"] * 2
    assert {name: len(times) for name, times in seconds.items()} == {"ours": 2, "theirs": 2}


@pytest.mark.parametrize("rounds, pause", [(0, 0.1), (3, -1.0)])
def test_pauses_and_rounds_that_cannot_be_are_refused(rounds, pause):
    from bench import pauses

    with pytest.raises(SystemExit, match="--rounds must be at least 1 and --pauses at least 0"):
        pauses.run(types.SimpleNamespace(names=["lenet"], rounds=rounds, pauses=[0.1, pause]))


def test_ratio_is_to_the_best_peer_of_the_row():
    from bench import table

    assert table.best_peer(ROW) == ("B", 0.01) and table.ratio(ROW) == 2 and table.memory_ratio(ROW) == 0.75
    alone = {**ROW, "what": "inference", "seconds": {"cnncore": [0.0123]}, "memory_bytes": {}}
    assert table.best_peer(alone) is None and table.ratio(alone) is None and table.memory_ratio(alone) is None
    training, inference = table.markdown([ROW, alone]).split("\n\n")
    assert training.splitlines()[-1] == (
        "| lenet, 64 | 5.00 | 12,800 | 200 | 50% | 20.0 | **10.0** | 2.00 | 30 | 0.75 |"
    )
    assert inference.splitlines()[-1] == "| lenet, 64 | 12.3 | 5,203 | 81 | 20% |  |"


def test_operations_of_a_network_are_counted():
    """LeNet by hand: two 3x3 convolutions and two dense layers."""
    from bench import networks

    model = networks.build(networks.NETWORKS["lenet"])
    first = 2 * 28 * 28 * 9 * 32
    forward = first + 2 * 14 * 14 * 9 * 32 * 64 + 2 * 7 * 7 * 64 * 128 + 2 * 128 * 10
    assert networks.flops(model, 3, training=False) == 3 * forward
    assert networks.flops(model, 3, training=True) == 3 * (3 * forward - first)


@pytest.mark.parametrize("name", ["lenet", "resnet20", "mobilenet_v2", "squeezenet"])
def test_the_onnx_file_computes_the_same(name):
    onnx = pytest.importorskip("onnx")
    reference = pytest.importorskip("onnx.reference")
    from bench import networks, onnx_file
    from bench.networks import Network

    network = networks.NETWORKS[name]
    size = 64 if network.shape[0] == 224 else network.shape[0]
    network = Network(name, (size, size, network.shape[2]), arguments=network.arguments)
    model = networks.build(network)
    x, _ = network.batch(1, 10)
    proto = onnx_file.convert(model, 1)
    assert isinstance(proto, onnx.ModelProto)
    (found,) = reference.ReferenceEvaluator(proto).run(None, {"images": x.transpose(0, 3, 1, 2).copy()})
    ours = np.asarray(model.predict_on_batch(x))
    assert np.abs(found - ours).max() <= 1e-3 * np.abs(ours).max()


def test_the_onnx_file_refuses_what_it_cannot_say():
    pytest.importorskip("onnx")
    import cnncore as cc
    from bench import onnx_file
    from cnncore import layers

    inputs = cc.Input(shape=(8, 8, 3))
    model = cc.Model(inputs, layers.Activation("tanh", name="odd")(layers.Flatten()(inputs)))
    with pytest.raises(ValueError, match='onnx_file "odd": the operation must be one that is translated here'):
        onnx_file.convert(model, 1)


@pytest.mark.parametrize("name", ["lenet", "resnet20"])
def test_gradients_of_both_sides_are_compared_in_one_layout(name):
    pytest.importorskip("torch")
    from bench import engines, models, networks

    network = networks.NETWORKS[name]
    model = networks.build(network)
    x, y = network.batch(4, 10)
    args = type("Arguments", (), {"threads": 1, "compile": False})
    trainers = engines.load("pytorch").training(network, model, x, y, args)
    trainers |= engines.load("cnncore").training(network, model, x, y, args)
    losses = {key: float(trainer.step()) for key, trainer in trainers.items()}
    ours = trainers["cnncore"].gradients()
    assert len(trainers) == 3
    for key, trainer in trainers.items():
        assert losses[key] == pytest.approx(losses["cnncore"], rel=1e-4)
        assert models.distance(trainer.gradients(), ours) <= models.GRADIENT_TOLERANCE
    wrong = {**ours, "predictions": [-a for a in ours["predictions"]]}
    assert models.distance(wrong, ours) > models.GRADIENT_TOLERANCE
    with pytest.raises(SystemExit, match="must agree to 0.06, they differ by 7.0e-02"):
        models.accept("gradients", "PyTorch", 0.07, models.GRADIENT_TOLERANCE)


def test_layers_of_a_network_are_its_convolutions_each_once():
    from bench import layers, networks

    found = layers.of_network(networks.NETWORKS["resnet20"], 128)
    assert [layer.name for layer in found] == [
        "32x32, 3 to 16, 3x3, batch 128",
        "32x32, 16 to 16, 3x3, batch 128",
        "32x32, 16 to 32, 3x3 stride 2, batch 128",
        "16x16, 32 to 32, 3x3, batch 128",
        "32x32, 16 to 32, 1x1 stride 2, batch 128",
        "16x16, 32 to 64, 3x3 stride 2, batch 128",
        "8x8, 64 to 64, 3x3, batch 128",
        "16x16, 32 to 64, 1x1 stride 2, batch 128",
    ]
    assert found[0].passes == ("forward", "backward_weight") and found[1].passes == layers.PASSES
    assert found[2].y == (128, 16, 16, 32) and found[2].flops == 2 * 128 * 16 * 16 * 32 * 9 * 16


@pytest.mark.parametrize(
    "kind, kernel, groups",
    [("conv2d", (3, 3, 4, 6), 1), ("conv2d", (3, 3, 2, 6), 2), ("depthwise_conv2d", (3, 3, 4, 2), 1)],
)
def test_the_check_of_a_layer_finds_wrong_results(kind, kernel, groups):
    from bench import layers
    from cnncore import _core

    layer = layers.Layer(kind, (2, 7, 7, 4), kernel, 2, (1, 1, 1, 1), groups)
    x, w, grad_y = layers.operands(layer)
    passes = layers.operations(layer, x, w, grad_y, _core.get_isa(), exact=False)
    layers.check(layer, passes, threads=1)
    passes["forward"].prepare = lambda threads: passes["forward"].result.__imul__(np.float32(1.01))
    with pytest.raises(AssertionError, match="forward is wrong"):
        layers.check(layer, passes, threads=1)


def test_a_start_gives_logits_and_the_time_after_numpy(tmp_path):
    from bench import startup

    startup.write_files(tmp_path, ["cnncore"])
    start = startup.FirstPrediction("cnncore", str(tmp_path), 1)
    before = time.perf_counter()
    start()
    whole = time.perf_counter() - before
    model = cnncore.load_model(tmp_path / "model.cnn")
    expected = model.predict_on_batch(np.load(tmp_path / "images.npy"))[0, :10]
    assert (start.logits.astype(np.float32) == expected).all()
    assert len(start.seconds) == 1 and 0 < start.seconds[0] < whole


def test_a_missing_peer_is_left_out_with_a_line(monkeypatch, capsys):
    from bench import engines, models

    monkeypatch.setattr(engines.load("openvino"), "PACKAGES", ("no_such_package",))
    assert models.installed_peers(["openvino"]) == []
    assert capsys.readouterr().out == "openvino: left out, as no_such_package is not installed\n"
