"""The benchmarks' own arithmetic: schedules, augmentation, timing, replaced imports, the peer's training step."""

import math
import pathlib

import numpy as np
import pytest

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

    found = timing.alternate({"a": candidate("a", [9, 1, 2, 6]), "b": candidate("b", [9, 4, 4, 4])}, rounds=3, warmup=1,
                             clock=lambda: now[0])
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
        assert math.isclose(float(ours(step)), expected, rel_tol=1e-6, abs_tol=4 * 0.2 * 2 ** -23)
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
                matches = [(dy, dx, flip) for dy in range(9) for dx in range(9) for flip in (1, -1)
                           if np.array_equal(image, cifar10.normalised(padded[dy:dy + 10, dx:dx + 12][:, ::flip]))]
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
        f"import cnncore as keras\nfrom cnncore import layers\nfrom cnncore.callbacks import CSVLogger\n{rest}")
    with pytest.raises(ValueError, match="must have a line"):
        keras_scripts.for_cnncore("import kerastuner\n")


def test_memory_reads_the_high_water_mark():
    from bench import memory

    if not pathlib.Path("/proc/self/status").exists():
        pytest.skip("the high-water mark is read from /proc")
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = memory.status_bytes("VmRSS")
    block = np.ones(8 << 20)  # 64 MiB
    del block
    assert memory.status_bytes("VmHWM") - before >= 60 << 20
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
        penalty = 0.005 * (w ** 2).sum()
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
