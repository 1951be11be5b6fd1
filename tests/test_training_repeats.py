"""A run repeats itself bit for bit, on any number of threads."""

import hashlib

import numpy as np

import cnncore as cc
from cnncore import _core
from training_models import LABELS, X, noisy


def _digest(model):
    return hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()


def test_set_random_seed_repeats_a_run_bit_for_bit():
    runs = []
    for _ in range(2):
        cc.utils.set_random_seed(9)
        model = noisy()
        runs.append((model.fit(X, LABELS, batch_size=8, epochs=2, verbose=0).history, _digest(model)))
    assert runs[0] == runs[1]
    cc.utils.set_random_seed(10)
    other = noisy()
    assert other.fit(X, LABELS, batch_size=8, epochs=2, verbose=0).history != runs[0][0]


def test_the_seed_of_compile_or_fit_repeats_a_run_from_the_same_weights():
    first = noisy(seed=5)
    start = first.get_weights()
    expected = first.fit(X, LABELS, batch_size=8, epochs=2, verbose=0).history
    second = noisy(seed=5)
    second.set_weights(start)
    assert second.fit(X, LABELS, batch_size=8, epochs=2, verbose=0).history == expected
    third = noisy(seed=6)
    third.set_weights(start)
    assert third.fit(X, LABELS, batch_size=8, epochs=2, verbose=0, seed=5).history == expected
    fourth = noisy(seed=6)
    fourth.set_weights(start)
    assert fourth.fit(X, LABELS, batch_size=8, epochs=2, verbose=0).history != expected


def test_weights_after_50_steps_are_the_same_for_any_number_of_threads():
    digests = {}
    for threads in (1, 2, 3, 4, 7):
        cc.utils.set_random_seed(9)
        model = noisy()
        model.fit(X, LABELS, batch_size=8, epochs=8, verbose=0, threads=threads)
        assert model.optimizer.iterations == 56
        digests[threads] = _digest(model)
    assert len(set(digests.values())) == 1, digests


def test_what_threads_make_for_each_other_is_the_same_for_any_number_of_them():
    """Of few pixels and many channels all threads transform the pixels (Winograd), each for all."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((12, 8, 8, 64)).astype(np.float32), rng.integers(0, 3, 12)
    digests = {}
    for threads in (1, 2, 3, 7):
        cc.utils.set_random_seed(9)
        convolution = {"padding": "same", "use_bias": False}
        model = cc.Sequential(
            [
                cc.Input((8, 8, 64)),
                cc.layers.Conv2D(200, 3, **convolution),  # four panels of 64 channels
                cc.layers.BatchNormalization(),
                cc.layers.ReLU(),
                cc.layers.Conv2D(136, 3, **convolution),
                cc.layers.GlobalAveragePooling2D(),
                cc.layers.Dense(3),
            ]
        )
        model.compile(cc.optimizers.SGD(0.1), cc.losses.SparseCategoricalCrossentropy(from_logits=True))
        for _ in range(4):
            loss = model.train_on_batch(x, y, threads=threads)
        assert np.isfinite(loss)
        digests[threads] = _digest(model), loss
    kernels = " ".join(operation["kernel"] for operation in model._program_for(12, True).operations)
    assert _core.get_exact() or kernels.count("Winograd") >= 4
    assert len(set(digests.values())) == 1, digests


def test_training_is_the_same_in_one_fit_or_several():
    whole, parts = noisy(seed=5), noisy(seed=5)
    parts.set_weights(whole.get_weights())
    whole.fit(X, LABELS, batch_size=8, epochs=4, verbose=0)
    for epoch in range(4):
        parts.fit(X, LABELS, batch_size=8, epochs=epoch + 1, initial_epoch=epoch, verbose=0)
        parts.evaluate(X, LABELS, verbose=0)
        parts.predict(X, verbose=0)
    assert _digest(whole) == _digest(parts)
