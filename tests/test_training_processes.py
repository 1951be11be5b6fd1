"""Training as a good neighbour: memory, interrupts, forks, threads, the caller's arrays."""

import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import cnncore as cc
from cnncore import _core
from training_models import LABELS, X, compiled, net, noisy


def test_no_allocation_in_the_steady_state():
    model = noisy(seed=1)
    x, y = X[:16], LABELS[:16]
    for _ in range(2):
        model.train_on_batch(x, y)
        model.predict_on_batch(x)
        model.test_on_batch(x, y)
    before = _core.allocations()
    for _ in range(5):
        model.train_on_batch(x, y)
        model.predict_on_batch(x)
        model.test_on_batch(x, y)
    assert _core.allocations() == before
    model.fit(X, LABELS, batch_size=16, epochs=2, verbose=0)
    before = _core.allocations()
    model.fit(X, LABELS, batch_size=16, epochs=3, verbose=0)
    assert _core.allocations() == before


def _run(script, **arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        **arguments,
    )


INTERRUPTED = """
    import os, signal, threading, time
    import numpy as np
    import cnncore as cc
    from cnncore import layers

    def make():
        cc.utils.set_random_seed(1)
        model = cc.Sequential([cc.Input((32, 32, 3)), layers.Conv2D(16, 3), layers.BatchNormalization(), layers.ReLU(),
                               layers.Dropout(0.2), layers.GlobalAveragePooling2D(),
                               layers.Dense(3, activation="softmax")])
        model.compile(cc.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", seed=3)
        return model

    x = np.random.default_rng(0).normal(size=(256, 32, 32, 3)).astype(np.float32)
    y = np.arange(256) % 3
    batches = [(x[i:i + 32], y[i:i + 32]) for i in range(0, 256, 32)]
    for delay in (0.05, 0.0731, 0.11):
        model = make()
        model.fit(iter(batches), verbose=0)                                      # compiled and warm
        threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)).start()
        begin = time.perf_counter()
        try:
            model.fit(x, y, batch_size=32, epochs=10**6, shuffle=False, verbose=0)
            raise SystemExit("not interrupted")
        except KeyboardInterrupt:
            late = time.perf_counter() - begin - delay
        assert late < 0.2, late
        steps = model.optimizer.iterations
        again = make()
        for step in range(steps):
            again.train_on_batch(*batches[step % 8])
        for a, b in zip(model.get_weights(), again.get_weights()):
            assert (a == b).all(), steps
        model.fit(x, y, verbose=0)                                               # and it goes on
    print("whole steps", steps > 8)
"""


def test_ctrl_c_leaves_whole_steps():
    """The weights after an interrupt are those of as many whole steps as the optimizer counts."""
    result = _run(INTERRUPTED)
    assert result.stdout.strip() == "whole steps True", result.stdout + result.stderr


FORKED = """
    import os
    import numpy as np
    import cnncore as cc
    from cnncore import layers

    model = cc.Sequential([
        cc.Input((16, 16, 3)), layers.Conv2D(8, 3, activation="relu"), layers.Flatten(), layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(64, 16, 16, 3)).astype(np.float32)
    expected = model.predict(x, verbose=0, threads=3)                            # the parent's threads are there by now
    child = os.fork()
    if child == 0:
        same = (model.predict(x, verbose=0, threads=3) == expected).all()
        model.compile("sgd", "mse")
        model.train_on_batch(x, np.zeros((64, 3)), threads=2)
        os._exit(0 if same else 3)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print("child", status, (model.predict(x, verbose=0, threads=3) == expected).all())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_works():
    result = _run(FORKED)
    assert result.stdout.strip() == "child 0 True", result.stdout + result.stderr


def test_several_python_threads_predict_at_once():
    cc.utils.set_random_seed(2)
    model, other = net(), net()
    expected = {id(m): m(X[:20]) for m in (model, other)}
    fresh, second = net(), net()  # whose programs and stores are made while others ask for them
    for a, b in ((fresh, model), (second, other)):
        a.set_weights(b.get_weights())
    wrong = []

    def work(m, reference, n):
        for _ in range(20):
            if not np.allclose(m.predict_on_batch(X[:n]), reference[:n], rtol=1e-4, atol=1e-6):
                wrong.append(n)

    threads = [
        threading.Thread(target=work, args=(m, expected[id(reference)], n))
        for n in (1, 5, 20)
        for m, reference in ((fresh, model), (second, other))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_training_leaves_the_callers_arrays_alone():
    x, y = X.copy(), LABELS.copy()
    compiled().fit(x, y, batch_size=16, verbose=0)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, LABELS)
