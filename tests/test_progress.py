"""The progress bar: in a log file, in a terminal (a pseudo-terminal), in a notebook; its numbers and its cost."""

import io
import os
import sys
import time
import types

import numpy as np
import pytest

from cnncore import progress
from cnncore.progress import ProgressBar


class Clock:
    """Takes the place of time.perf_counter."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress.time, "perf_counter", clock)
    return clock


class Terminal(io.StringIO):
    """A stream that says it is a terminal, of 80 columns unless `progress._width` is replaced."""

    encoding = "utf-8"

    def isatty(self):
        return True


def screen(text):
    """Return the lines that a terminal shows: a carriage return goes back to the first column."""
    shown = []
    for line in text.split("\n"):
        cells = []
        for piece in line.split("\r"):
            cells[: len(piece)] = piece
        shown.append("".join(cells).rstrip())
    return shown


def run(stream, clock, batches=10, seconds=0.05, total=10, logs=None, **arguments):
    bar = ProgressBar(total, stream=stream, **arguments)
    for _ in range(batches):
        clock.now += seconds
        bar.update(64, logs or {"loss": 0.5})
    return bar


def test_one_line_an_epoch_in_a_file(clock):
    stream = io.StringIO()
    for epoch in (1, 2):
        bar = run(stream, clock, epoch=epoch, epochs=12)
        bar.finish({"loss": 0.25, "val_accuracy": 0.875})
        bar.finish({"loss": 9})  # once is enough
    assert stream.getvalue() == (
        "Epoch  1/12 - 10/10 - 0.5s - 1280 images/s - loss: 0.2500 - val_accuracy: 0.8750\n"
        "Epoch  2/12 - 10/10 - 0.5s - 1280 images/s - loss: 0.2500 - val_accuracy: 0.8750\n"
    )


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_verbose(stream, clock, monkeypatch):
    run(stream, clock, verbose=0).finish({"loss": 1})
    assert stream.getvalue() == ""
    run(stream, clock, verbose=2, label="Evaluate").finish({"loss": 1})
    assert stream.getvalue() == "Evaluate - 10/10 - 0.5s - 1280 images/s - loss: 1.0000\n"
    for wrong in ("yes", 3, None):
        with pytest.raises(ValueError, match='verbose must be "auto", 0, 1 or 2'):
            ProgressBar(verbose=wrong, stream=stream)


def test_terminal_redraws_over_itself_and_ends_with_one_line(clock):
    stream = Terminal()
    bar = run(stream, clock, batches=5, seconds=0.125, epoch=1, epochs=2, logs={"loss": 0.5, "accuracy": 0.25})
    assert screen(stream.getvalue()) == [
        "Epoch 1/2  5/10 ━━━━───── 512 images/s ETA 0.6s  loss: 0.5000  accuracy: 0.2500"
    ]
    assert "\x1b" not in stream.getvalue() and "\n" not in stream.getvalue()
    bar.finish({"loss": 0.5})
    assert screen(stream.getvalue()) == ["Epoch 1/2  5/10  0.6s  512 images/s  loss: 0.5000", ""]


def test_full_bar_and_remaining_time(clock):
    stream = Terminal()
    bar = ProgressBar(4, epoch=3, epochs=5, stream=stream)
    for batch in range(4):
        clock.now += 60.0
        bar.update(120, {"loss": 0.5})
        shown = screen(stream.getvalue())[0]
        assert shown.startswith(f"Epoch 3/5 {batch + 1}/4 ")
        assert f"ETA {('3:00', '2:00', '1:00', '0.0s')[batch]}" in shown and " 2 images/s" in shown
        full, empty = shown.count("━"), shown.count("─")
        assert full == (full + empty) * (batch + 1) // 4 and full + empty >= 25
    assert bar.rate() == 2.0


def test_at_most_ten_draws_a_second(clock):
    class Counting(Terminal):
        draws = 0

        def write(self, text):
            self.draws += 1
            return super().write(text)

    stream = Counting()
    run(stream, clock, batches=1000, seconds=0.01, total=2000)
    assert 90 <= stream.draws <= 100


def test_last_batch_is_always_drawn(clock):
    stream = Terminal()
    run(stream, clock, batches=10, seconds=0.001)
    assert "10/10" in stream.getvalue()


def test_a_shorter_line_clears_the_longer_one(clock):
    stream = Terminal()
    bar = ProgressBar(100, stream=stream)
    clock.now += 1
    bar.update(1, {"loss": 0.5, "accuracy": 0.25, "precision": 0.5})
    clock.now += 1
    bar.update(1, {"loss": 0.5})
    assert "precision" not in screen(stream.getvalue())[0]
    bar.finish()
    assert screen(stream.getvalue()) == ["2/100  2.0s  1 images/s", ""]


@pytest.mark.parametrize(
    "columns, bar, quantities",
    [(20, 0, 0), (30, 0, 0), (45, 0, 0), (62, 0, 1), (63, 5, 1), (79, 0, 2), (90, 14, 2), (120, 8, 3), (160, 30, 3)],
)
def test_adapts_to_the_width(clock, monkeypatch, columns, bar, quantities):
    """Epoch, count, rate and ETA take 43 columns, the quantities 14, 18 and 36; a bar of 5 or more takes the rest."""
    monkeypatch.setattr(progress, "_width", lambda stream: columns)
    stream = Terminal()
    line = ProgressBar(1000, epoch=10, epochs=10, stream=stream)
    for _ in range(50):
        clock.now += 0.2
        line.update(32, {"loss": 0.123456, "accuracy": 0.5, "top_k_categorical_accuracy": 0.75})
    assert max(map(len, stream.getvalue().split("\r"))) <= columns
    shown = screen(stream.getvalue())[0]
    assert shown.startswith("Epoch 10/10   50/1000"[:columns])
    assert (shown.count("━") + shown.count("─"), shown.count(": ")) == (bar, quantities)


def test_unknown_length(clock):
    for stream, expected in (
        (io.StringIO(), "Epoch 1 - 5/5 - 0.5s - 640 images/s - loss: 0.5000\n"),
        (Terminal(), "Epoch 1  5/5  0.5s  640 images/s  loss: 0.5000"),
    ):
        bar = run(stream, clock, batches=5, total=None, seconds=0.1, epoch=1)
        if isinstance(stream, Terminal):
            assert screen(stream.getvalue())[0].startswith("Epoch 1 ") and "ETA" not in stream.getvalue()
            assert "━" not in stream.getvalue()
        bar.finish({"loss": 0.5})
        assert screen(stream.getvalue())[0] == expected.rstrip("\n")


def test_nothing_counted(clock):
    stream = io.StringIO()
    bar = ProgressBar(stream=stream, epoch=1)
    assert bar.rate() == 0.0
    bar.finish()
    assert stream.getvalue() == "Epoch 1 - 0/0 - 0.0s - 0 images/s\n"


def test_close_ends_an_interrupted_line(clock):
    stream = Terminal()
    bar = run(stream, clock, batches=5)
    bar.close()
    bar.finish()
    assert stream.getvalue().count("\n") == 1 and stream.getvalue().endswith("\n")
    quiet = io.StringIO()
    run(quiet, clock, batches=5).close()
    assert quiet.getvalue() == ""


def test_ascii_where_the_stream_cannot_draw_lines(clock):
    stream = Terminal()
    stream.encoding = "ascii"
    run(stream, clock)
    assert stream.getvalue().isascii() and "====" in stream.getvalue()


def test_dumb_terminal_is_treated_as_a_file(clock, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    run(stream, clock).finish()
    assert "\r" not in stream.getvalue() and stream.getvalue().count("\n") == 1


def test_stream_is_standard_output_by_default(clock, capsys):
    run(None, clock).finish()
    assert capsys.readouterr().out == "10/10 - 0.5s - 1280 images/s\n"


def test_without_standard_output_nothing_happens(clock, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    bar = run(None, clock)
    bar.finish()
    assert bar.batches == 10


def test_notebook_is_drawn_without_escape_codes(clock, monkeypatch):
    shell = type("ZMQInteractiveShell", (), {})
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = type("Shell", (shell,), {})
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    stream = io.StringIO()  # a kernel's stream is no terminal
    monkeypatch.setattr(sys, "stdout", stream)
    bar = run(None, clock, logs={"loss": 0.5})
    assert "\r" in stream.getvalue() and "\x1b" not in stream.getvalue()
    bar.finish({"loss": 0.5})
    assert screen(stream.getvalue()) == ["10/10  0.5s  1280 images/s  loss: 0.5000", ""]
    file = io.StringIO()  # a file opened in a notebook is still a file
    run(file, clock).finish()
    assert "\r" not in file.getvalue()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
def test_real_terminal(monkeypatch):
    """Through a pseudo-terminal of 50 columns, then of 30: no line is longer than the terminal is wide."""
    fcntl, termios, struct = (pytest.importorskip(m) for m in ("fcntl", "termios", "struct"))
    monkeypatch.setenv("TERM", "xterm")
    primary, secondary = os.openpty()
    with open(secondary, "w", encoding="utf-8") as stream:
        written = ""
        for columns in (50, 30):
            fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            bar = ProgressBar(3, epoch=1, epochs=1, stream=stream)
            bar._next_draw = 0.0
            bar.update(1, {"loss": 0.5, "accuracy": 0.5})
            text = os.read(primary, 4096).decode()
            written += text
            assert 0 < max(map(len, text.replace("\n", "\r").split("\r"))) < columns
            bar.close()
            os.read(primary, 4096)
        assert "loss: 0.5000" in written or "images/s" in written
    os.close(primary)


@pytest.mark.parametrize(
    "value, text",
    [
        (0.5, "0.5000"),
        (0, "0.0000"),
        (12.3456789, "12.3457"),
        (0.000123, "1.2300e-04"),
        (-0.5, "-0.5000"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (np.float32(0.25), "0.2500"),
        (np.array(2), "2.0000"),
        (np.array([0.5, 0.25]), "[0.5000 0.2500]"),
        ("text", "text"),
    ],
)
def test_numbers(value, text):
    assert progress._number(value) == text


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0.0s"), (9.94, "9.9s"), (9.96, "10s"), (59.4, "59s"), (59.6, "1:00"), (185, "3:05"), (3723, "1:02:03")],
)
def test_times(seconds, text):
    assert progress._clock(seconds) == text


def test_an_update_between_draws_costs_microseconds():
    """The fastest of 20 runs of 1000 updates: a bound that a busy machine keeps, and a redraw each time would not."""
    stream = Terminal()
    logs = {"loss": 0.5, "accuracy": 0.5}
    best = float("inf")
    for _ in range(20):
        bar = ProgressBar(10**9, stream=stream)
        start = time.perf_counter()
        for _ in range(1000):
            bar.update(64, logs)
        best = min(best, (time.perf_counter() - start) / 1000)
    assert best < 5e-6
