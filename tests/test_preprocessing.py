"""Preprocessing: each equation against float64 NumPy, batches against the whole, real images, files, refusals."""

import os
import warnings

import numpy as np
import pytest

import cnncore as cc
from cnncore import layers, preprocessing as pp
from cnncore.preprocessing.moments import Moments, Scatter, ValueCounts

U = 2.0**-24
RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (60, 5, 4, 3), dtype=np.uint8)
TABLE = (RNG.standard_normal((80, 6)) * [1, 10, 0.1, 3, 1, 100] + [0, 5, 2, -3, 1e3, 7]).astype(np.float32)
LABELS = RNG.integers(0, 4, 80)


def f64(x):
    return np.asarray(x, np.float64)


def affine_bound(x, center, scale):
    """x - center (center itself rounded), scale rounded, the product: each relative to the larger of x and center."""
    return 4 * U * (np.abs(f64(x)) + np.abs(center)) * np.abs(scale)


def same(result, expected, bound):
    assert result.dtype == np.float32 and result.shape == expected.shape
    assert np.all(np.abs(result - expected) <= bound), np.max(np.abs(result - expected) / np.maximum(bound, 1e-300))


AXES = {"feature": 0, "channel": (0, 1, 2), "all": None}


# ---------------------------------------------------------------- each against its equation


@pytest.mark.parametrize("per", ["feature", "channel", "all"])
@pytest.mark.parametrize("divide", [True, False])
def test_standardize(per, divide):
    mean, std = (getattr(f64(BYTES), what)(axis=AXES[per], keepdims=True) for what in ("mean", "std"))
    scale = 1 / std if divide else np.ones_like(std)
    scaler = pp.Standardize(per, divide).fit(BYTES)
    y = scaler.transform(BYTES)
    same(y, (f64(BYTES) - mean) * scale, affine_bound(BYTES, mean, scale))
    np.testing.assert_allclose(scaler.inverse_transform(y), BYTES, atol=1e-3)


def test_zscore_and_mean_image_are_standardize_per_feature():
    assert np.array_equal(pp.ZScore().fit_transform(TABLE), pp.Standardize("feature").fit_transform(TABLE))
    same(pp.MeanImage().fit_transform(BYTES), f64(BYTES) - f64(BYTES).mean(axis=0), affine_bound(BYTES, 255, 1))


def test_rescale():
    y = pp.Rescale(1 / 127.5, -1.0).transform(BYTES)
    same(y, f64(BYTES) / 127.5 - 1, 8 * U)
    assert np.array_equal(np.rint(pp.Rescale(1 / 127.5, -1.0).inverse_transform(y)), BYTES)


@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-1.0, 1.0), (2.0, 10.0)])
@pytest.mark.parametrize("per", ["feature", "channel", "all"])
def test_min_max(per, low, high):
    first, last = (getattr(f64(BYTES), what)(axis=AXES[per], keepdims=True) for what in ("min", "max"))
    scaler = pp.MinMax(low, high, per).fit(BYTES)
    y = scaler.transform(BYTES)
    scale = (high - low) / (last - first)
    same(
        y,
        low + (f64(BYTES) - first) * scale,
        affine_bound(BYTES, np.abs(first) + np.abs(low / scale), scale) + U * high,
    )
    np.testing.assert_allclose(scaler.inverse_transform(y), BYTES, atol=1e-3)


@pytest.mark.parametrize("per", ["feature", "channel", "all"])
def test_log(per):
    top = f64(BYTES).max(axis=AXES[per], keepdims=True)
    scaler = pp.Log(per=per).fit(BYTES)
    y = scaler.transform(BYTES)
    same(y, np.log(f64(BYTES) + 1) / np.log(top + 1), 8 * U)
    assert y.min() >= 0 and y.max() <= 1 + 4 * U
    np.testing.assert_allclose(scaler.inverse_transform(y), BYTES, atol=1e-3)
    notes = np.float32([[1, 10], [100, 1000]])  # log x / log max, for x >= 1
    same(pp.Log(offset=0).fit_transform(notes), np.array([[0, 1 / 3], [2 / 3, 1]]), 4 * U)


def test_arctan():
    y = pp.Arctan().transform(TABLE)
    same(y, 2 * np.arctan(f64(TABLE)) / np.pi, 8 * U)
    small = TABLE[:, :1]
    np.testing.assert_allclose(pp.Arctan().inverse_transform(pp.Arctan().transform(small)), small, rtol=1e-5)


def test_hounsfield_window():
    raw = np.arange(-1024, 3072, dtype=np.int16).reshape(1, 64, 64, 1)
    y = pp.HounsfieldWindow(center=40, width=400).transform(raw)
    same(y, np.clip((f64(raw) - 40) / 200, -1, 1), 16 * U)
    assert y.min() == -1 and y.max() == 1
    stored = pp.HounsfieldWindow(-600, 1500, 0, 1, slope=2.0, intercept=-1024)
    same(stored.transform(BYTES), np.clip((2 * f64(BYTES) - 1024 + 600 + 750) / 1500, 0, 1), 16 * U)


@pytest.mark.parametrize("per_channel", [True, False])
def test_per_image(per_channel):
    axes = (1, 2) if per_channel else (1, 2, 3)
    x = f64(BYTES)
    mean, std = x.mean(axis=axes, keepdims=True), x.std(axis=axes, keepdims=True)
    same(pp.PerImageCenter(per_channel).transform(BYTES), x - mean, 64 * U * 255)
    same(
        pp.PerImageStandardize(per_channel).transform(BYTES),
        (x - mean) / np.maximum(std, 1 / np.sqrt(20 if per_channel else 60)),
        64 * U * 255 / std,
    )
    same(
        pp.PerImageStandardize(per_channel, 90.0).transform(BYTES), (x - mean) / np.maximum(std, 90), 64 * U * 255 / 50
    )


def test_global_contrast_normalization():
    """Goodfellow et al. 2016, equation 12.3."""
    x = f64(BYTES)
    mean, var = x.mean(axis=(1, 2, 3), keepdims=True), x.var(axis=(1, 2, 3), keepdims=True)
    same(pp.GlobalContrastNormalization().transform(BYTES), (x - mean) / np.sqrt(var), 64 * U * 255 / np.sqrt(var))
    full = pp.GlobalContrastNormalization(scale=55.0, regularization=10.0, epsilon=70.0)
    same(full.transform(BYTES), 55 * (x - mean) / np.maximum(70, np.sqrt(10 + var)), 55 * 64 * U * 255 / 70)


def test_constant_images_become_zero():
    x = np.full((2, 5, 5, 3), 0.1, np.float32)
    for step in (
        pp.PerImageCenter(),
        pp.PerImageStandardize(),
        pp.GlobalContrastNormalization(),
        pp.GlobalContrastNormalization(regularization=10.0),
    ):
        assert not step.transform(x).any()


def test_impute():
    x = TABLE.copy()
    x[RNG.random(x.shape) < 0.3] = np.nan
    for strategy, reference in (("mean", np.nanmean), ("median", np.nanmedian)):
        for per, axis in (("feature", 0), ("all", None)):
            y = pp.Impute(strategy, per).fit(x).transform(x)
            value = np.broadcast_to(reference(f64(x), axis=axis).astype(np.float32), x.shape)
            same(y, np.where(np.isnan(x), value, x), U * np.abs(value))
    categories = np.float32([[3, 1], [1, 1], [3, np.nan], [np.nan, 2], [1, 2], [3, np.nan]])
    assert pp.Impute("mode").fit(categories).arrays["values"].tolist() == [3, 1]  # of equally many the smallest
    volume = np.where(RNG.random((4, 3, 3, 2)) < 0.2, np.nan, 1.0 + np.arange(2)).astype(np.float32)
    filled = pp.Impute("mean", "channel").fit_transform(volume)
    assert np.array_equal(filled, np.broadcast_to(np.float32([1, 2]), volume.shape))


def reference_axes(x):
    x = f64(x).reshape(len(x), -1)
    variances, axes = np.linalg.eigh(np.cov(x.T, bias=True))
    return x - x.mean(axis=0), variances[::-1], axes[:, ::-1]


def test_pca():
    centred, variances, axes = reference_axes(TABLE)
    pca = pp.PCA().fit(TABLE)
    y = pca.transform(TABLE)
    signs = np.sign((pca.arrays["projection"] * axes).sum(axis=0))
    bound = (TABLE.shape[1] + 6) * U * ((np.abs(TABLE) + np.abs(TABLE.mean(axis=0))) @ np.abs(axes))
    same(y, centred @ axes * signs, bound)
    np.testing.assert_allclose(pca.explained_variance_ratio, variances / variances.sum(), rtol=1e-5)
    np.testing.assert_allclose(pca.inverse_transform(y), TABLE, atol=1e-3)
    assert np.all(
        np.abs(pca.arrays["projection"]).max(axis=0) == pca.arrays["projection"].max(axis=0)
    )  # repeatable signs
    two = pp.PCA(2).fit(TABLE)
    assert two.transform(TABLE).shape == (80, 2) and np.array_equal(
        two.transform(TABLE), pp.PCA(2).fit(TABLE).transform(TABLE)
    )
    for share in (0.5, 0.9, 0.999999):
        kept = len(pp.PCA(share).fit(TABLE).explained_variance_ratio)
        assert variances[:kept].sum() / variances.sum() >= share > variances[: kept - 1].sum() / variances.sum()
    error = ((two.inverse_transform(two.transform(TABLE)) - f64(TABLE)) ** 2).sum() / len(TABLE)
    np.testing.assert_allclose(error, variances[2:].sum(), rtol=1e-3)  # what is lost is the variance left out


def test_pca_and_lda_against_scikit_learn():
    decomposition = pytest.importorskip("sklearn.decomposition")
    analysis = pytest.importorskip("sklearn.discriminant_analysis")
    own, theirs = pp.PCA(3).fit(TABLE), decomposition.PCA(3).fit(f64(TABLE))
    np.testing.assert_allclose(np.abs(own.transform(TABLE)), np.abs(theirs.transform(f64(TABLE))), atol=2e-3)
    x = TABLE + LABELS[:, None] * np.float32([1, 20, 0.1, 0, 1, 50])
    own, theirs = pp.LDA().fit(x, LABELS), analysis.LinearDiscriminantAnalysis(solver="svd").fit(f64(x), LABELS)
    a, b = f64(own.transform(x)), theirs.transform(f64(x))
    correlation = np.abs([np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(3)])  # theirs are scaled with n - C
    np.testing.assert_allclose(correlation, 1, atol=1e-4)


def test_lda_solves_its_equation():
    x = f64(TABLE + LABELS[:, None] * np.float32([1, 20, 0.1, 0, 1, 50]))
    lda = pp.LDA().fit(x, LABELS)
    w = f64(lda.arrays["projection"])
    assert w.shape == (6, 3)  # C - 1 of 4 classes
    means = np.stack([x[LABELS == k].mean(axis=0) for k in range(4)])[LABELS]
    within = (x - means).T @ (x - means) / len(x)
    between = (means - x.mean(axis=0)).T @ (means - x.mean(axis=0)) / len(x)
    np.testing.assert_allclose(w.T @ within @ w, np.eye(3), atol=1e-4)
    ratios = np.diag(w.T @ between @ w)
    assert np.all(np.diff(ratios) < 0)
    np.testing.assert_allclose(between @ w, within @ w * ratios, atol=1e-4 * np.abs(between @ w).max())
    assert pp.LDA(1).fit(x, LABELS).transform(x).shape == (80, 1)
    scaled = pp.LDA(shrinkage=0.5).fit(np.hstack([x, np.ones((80, 1))]), LABELS)  # a constant feature
    assert np.isfinite(scaled.arrays["projection"]).all()
    constant = pp.LDA().fit(np.hstack([x, np.ones((80, 1))]), LABELS)
    np.testing.assert_allclose(np.abs(constant.arrays["projection"][:6]), np.abs(w), rtol=1e-3, atol=1e-6)
    assert not constant.arrays["projection"][6].any()


# ---------------------------------------------------------------- whitening of real images


def cifar(n=3000, size=10):
    root = os.environ.get("CNNCORE_DATA")
    if not root:
        pytest.skip("CNNCORE_DATA is not set")
    path = os.path.join(root, "cifar-10-batches-bin", "data_batch_1.bin")
    if not os.path.exists(path):
        pytest.skip(f"{path} is missing")
    rows = np.fromfile(path, np.uint8, n * 3073).reshape(n, 3073)
    begin = 16 - size // 2
    x = rows[:, 1:].reshape(n, 3, 32, 32).transpose(0, 2, 3, 1)[:, begin : begin + size, begin : begin + size]
    return np.ascontiguousarray(x), rows[:, 0].astype(np.int64)


def test_whitening_of_cifar_gives_the_identity_covariance():
    """With epsilon the variances become L / (L + epsilon); the rest is the rounding of products of 300 terms."""
    x, _ = cifar()
    x = x / np.float32(255)
    centred, variances, axes = reference_axes(x)
    for epsilon in (1e-9, 1e-2):
        pca, zca = pp.PCAWhitening(epsilon=epsilon).fit(x), pp.ZCAWhitening(epsilon=epsilon).fit(x)
        expected = variances / (variances + epsilon)
        for step, target in ((pca, np.diag(expected)), (zca, axes * expected @ axes.T)):
            y = f64(step.transform(x)).reshape(len(x), -1)
            covariance = np.cov(y.T, bias=True)
            rounding = (300 + 6) * U * (np.abs(centred) @ np.abs(f64(step.arrays["projection"]))).max()
            assert np.abs(covariance - target).max() < 2 * rounding
        if epsilon < 1e-6:
            assert np.abs(covariance - np.eye(300)).max() < 1e-3
    np.testing.assert_allclose(zca.inverse_transform(zca.transform(x)), x, atol=1e-4)


def test_zca_stays_close_to_the_images():
    """Of all whitenings it has the least mean squared distance from the data (Kessy, Lewin and Strimmer 2018), and each
    pixel follows itself."""
    x, _ = cifar()
    x = x / np.float32(255)
    deviation = f64(x).std()
    centred = (f64(x) - f64(x).mean(axis=0)).reshape(len(x), -1) / deviation
    whitened = f64(pp.ZCAWhitening(1e-3).fit_transform(x)).reshape(len(x), -1)
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((300, 300)))[0]
    distance = lambda y: ((y - centred) ** 2).mean()
    assert distance(whitened) < distance(whitened @ rotation)
    assert distance(whitened) < distance(f64(pp.PCAWhitening(epsilon=1e-3).fit_transform(x)))
    correlation = (whitened * centred).mean(axis=0) / (whitened.std(axis=0) * centred.std(axis=0))
    assert correlation.min() > 0.1 and np.median(correlation) > 0.15
    neighbours = np.array(
        [[np.corrcoef(whitened[:, i], centred[:, j])[0, 1] for j in range(0, 300, 7)] for i in range(0, 300, 29)]
    )
    assert all(
        correlation[29 * row] >= np.abs(values).max() - 1e-9 for row, values in enumerate(neighbours)
    )  # itself most of all


def test_cifar_per_channel_statistics_are_the_known_ones():
    """Means 0.491, 0.482, 0.447 and deviations 0.247, 0.243, 0.262 of the training set; of 10,000 of its images within
    0.01."""
    x, labels = cifar(10000, 32)
    scaler = pp.Standardize().fit(x)
    np.testing.assert_allclose(scaler.arrays["center"] / 255, [0.491, 0.482, 0.447], atol=0.01)
    np.testing.assert_allclose(1 / scaler.arrays["scale"] / 255, [0.247, 0.243, 0.262], atol=0.01)


def test_lda_separates_real_classes():
    x, labels = cifar(3000, 8)
    y = f64(pp.LDA(shrinkage=0.1).fit(x, labels).transform(x))
    assert y.shape == (3000, 9)
    means = np.stack([y[labels == k].mean(axis=0) for k in range(10)])
    found = ((y[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (found == labels).mean() > 0.25  # chance is 0.1


# ---------------------------------------------------------------- batches


EVERY = [
    pp.Rescale(),
    pp.Standardize(),
    pp.Standardize("feature"),
    pp.Standardize("all", divide=False),
    pp.ZScore(),
    pp.MeanImage(),
    pp.MinMax(-1, 1),
    pp.MinMax(per="channel"),
    pp.Log(),
    pp.Log(per="feature"),
    pp.Arctan(),
    pp.HounsfieldWindow(),
    pp.PerImageCenter(),
    pp.PerImageStandardize(),
    pp.PerImageStandardize(True, 2.0),
    pp.GlobalContrastNormalization(2.0, 1.0),
    pp.PCA(5),
    pp.PCA(0.8),
    pp.PCAWhitening(7, 0.1),
    pp.ZCAWhitening(0.5),
    pp.LDA(2, 0.1),
    pp.Impute(),
    pp.Impute("median", "channel"),
    pp.Impute("mode"),
    pp.Pipeline([pp.Rescale(), pp.Standardize(), pp.PCA(6), pp.Arctan()]),
    pp.Pipeline([pp.GlobalContrastNormalization(), pp.ZCAWhitening(0.1)]),
]


def fresh(step):
    return pp.deserialize(pp.serialize(step))


@pytest.mark.parametrize("step", EVERY, ids=repr)
def test_batches_give_what_the_whole_gives(step):
    """An iterable of batches, and partial_fit where there is one pass, within the rounding of float64 before
    float32."""
    labels = LABELS[:60]
    whole = fresh(step).fit(BYTES, labels)

    class Batches:
        def __iter__(self):
            for begin in range(0, 60, 17):
                yield BYTES[begin : begin + 17], labels[begin : begin + 17]

    results = [fresh(step).fit(Batches())]
    if not (isinstance(step, pp.Pipeline) and len([s for s in step.steps if s.array_names]) > 1):
        partial = fresh(step)
        for x, y in Batches():
            partial.partial_fit(x, y)
        results.append(partial)
    for other in results:
        assert other.arrays.keys() == whole.arrays.keys()
        for name, array in whole.arrays.items():
            np.testing.assert_allclose(other.arrays[name], array, rtol=1e-5, atol=1e-6)


def test_moments_of_batches_are_stable():
    """A mean of 10^8 deviations: E[x^2] - E[x]^2 would have no correct digit."""
    x = 1e8 + np.random.default_rng(1).standard_normal((3000, 3))
    moments, scatter = Moments(3), Scatter(3)
    for begin in range(0, 3000, 7):
        moments.update(x[begin : begin + 7])
        scatter.update(x[begin : begin + 7])
    np.testing.assert_allclose(moments.variance, x.var(axis=0), rtol=1e-6)
    np.testing.assert_allclose(scatter.matrix / 3000, np.cov(x.T, bias=True), rtol=1e-6, atol=1e-6)
    assert np.array_equal(scatter.mean, moments.mean)


def test_more_values_than_are_kept():
    """The median stays within the stated share of ranks; the counts stay complete."""
    values = np.random.default_rng(2).standard_normal(20000)
    counts = ValueCounts(limit=512)
    for begin in range(0, 20000, 777):
        counts.update(values[begin : begin + 777])
    assert not counts.exact and len(counts.values) <= 512 and counts.counts.sum() == 20000
    assert abs((values < counts.median()).mean() - 0.5) < 20000 / 512**2
    exact = ValueCounts()
    exact.update(values)
    assert exact.exact and exact.median() == np.median(values)


def test_a_large_array_is_read_in_pieces(monkeypatch):
    monkeypatch.setattr("cnncore.preprocessing.base.CHUNK", 600)
    pieces = []
    real = Moments.update
    monkeypatch.setattr(Moments, "update", lambda self, x: (pieces.append(len(x)), real(self, x)))
    scaler = pp.Standardize("feature").fit(BYTES)
    assert pieces == [10] * 6
    np.testing.assert_allclose(scaler.arrays["center"], f64(BYTES).mean(axis=0), rtol=1e-6)


# ---------------------------------------------------------------- in the model


@pytest.mark.parametrize("step", EVERY, ids=repr)
def test_raw_bytes_after_save_and_load(step, tmp_path):
    """predict on raw uint8 is the network on transformed data, before and after a file, bit for bit; the object comes
    back too."""
    step = fresh(step).fit(BYTES, LABELS[:60])
    y = step.transform(BYTES)
    assert y.dtype == np.float32 and np.isfinite(y).all()
    inputs = cc.Input((5, 4, 3), dtype="uint8")
    model = cc.Model(inputs, layers.Dense(3)(layers.Flatten()(step(inputs))))
    alone = cc.Sequential([cc.Input(y.shape[1:]), layers.Flatten(), layers.Dense(3)])
    alone.set_weights(model.layers[-1].get_weights())
    predicted = model.predict(BYTES, verbose=0)
    np.testing.assert_allclose(predicted, alone.predict(y, verbose=0), rtol=1e-4, atol=1e-4 * np.abs(predicted).max())
    model.save(tmp_path / "model.cnn")
    again = cc.load_model(tmp_path / "model.cnn")
    assert np.array_equal(again.predict(BYTES, verbose=0), predicted)
    restored = again.layers[1].preprocessing
    assert repr(restored) == repr(step) and restored.sample_shape == step.sample_shape
    assert np.array_equal(restored.transform(BYTES), y) and np.array_equal(again.layers[1](BYTES), y)
    assert not again.layers[1].trainable_variables


def test_fit_evaluate_and_checkpoints_take_raw_bytes(tmp_path):
    y = (BYTES[:, 0, 0, 0] > 127).astype(np.int64)
    scaler = pp.Standardize().fit(BYTES)
    model = cc.Sequential(
        [cc.Input((5, 4, 3), dtype="uint8"), scaler.layer(), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)]
    )
    model.compile("adam", cc.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"], seed=1)
    before = model.layers[0].get_weights()
    losses = model.fit(BYTES, y, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert all(np.array_equal(a, b) for a, b in zip(before, model.layers[0].get_weights()))  # no gradient reaches it
    model.save(tmp_path / "model.cnn")
    assert cc.load_model(tmp_path / "model.cnn").evaluate(BYTES, y, verbose=0) == model.evaluate(BYTES, y, verbose=0)
    assert "subtract" in model.describe() and "multiply" in model.describe()


def test_the_command_line_applies_it_to_image_files(tmp_path, capsys):
    """cnncore predict on PNG files says what predict says of their bytes."""
    from PIL import Image

    from cnncore import cli

    inputs = cc.Input((5, 4, 3), dtype="uint8")
    x = pp.Pipeline([pp.GlobalContrastNormalization(), pp.ZCAWhitening(0.1)]).fit(BYTES)(inputs)
    model = cc.Model(inputs, layers.Dense(3, activation="softmax")(layers.Flatten()(x)))
    model.class_names = ["ape", "bee", "cat"]
    model.save(tmp_path / "model.cnn")
    paths = [str(tmp_path / f"{i}.png") for i in range(8)]
    for path, image in zip(paths, BYTES):
        Image.fromarray(image).save(path)
    assert cli.main(["predict", str(tmp_path / "model.cnn"), *paths]) in (0, None)
    said = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert said == [model.class_names[k] for k in model.predict(BYTES[:8], verbose=0).argmax(axis=1)]


def test_prepend():
    network = cc.Sequential([cc.Input((5, 4, 3)), layers.Flatten(), layers.Dense(2)])
    network.class_names = ["cat", "dog"]
    scaler = pp.Standardize().fit(BYTES)
    whole = pp.prepend(network, scaler)
    assert whole.class_names == ["cat", "dog"] and whole.inputs[0].dtype == "uint8"
    assert np.array_equal(whole.predict(BYTES, verbose=0), network.predict(scaler.transform(BYTES), verbose=0))
    network.layers[-1].set_weights([w + 1 for w in network.layers[-1].get_weights()])  # shared
    assert np.array_equal(whole.predict(BYTES, verbose=0), network.predict(scaler.transform(BYTES), verbose=0))


def test_the_layer_keeps_what_was_fitted():
    scaler = pp.Standardize().fit(BYTES)
    layer = scaler.layer()
    y = layer(BYTES)
    scaler.fit(BYTES // 2)
    assert np.array_equal(layer(BYTES), y) and not np.array_equal(scaler.transform(BYTES), y)


def test_transform_counts_no_names_up():
    """A transform builds a model of its own; the names of the user's layers must not depend on it."""
    first = layers.Dense(2).name
    pp.Standardize().fit(BYTES).transform(BYTES)
    number = lambda name: int(name.rsplit("_", 1)[1]) if "_" in name else 0
    assert number(layers.Dense(2).name) == number(first) + 1
    a = cc.Input((2,))
    pp.ZScore().fit(TABLE).transform(TABLE)
    b = cc.Input((2,))
    assert number(b.name) == number(a.name) + 1


@pytest.mark.parametrize("kind", ["standardize", "per channel", "log", "arctan", "impute"])
def test_gradients_pass_through(kind):
    """A preprocessing behind trained weights: the step of SGD against central differences in float64."""
    x = np.random.default_rng(3).uniform(0.5, 2, (6, 4)).astype(np.float32)
    target = np.random.default_rng(4).standard_normal((6, 4, 3)).astype(np.float32)
    step = {
        "standardize": pp.PerImageStandardize(epsilon=1e-3),
        "per channel": pp.PerImageStandardize(True, 1e-3),
        "log": pp.Log(offset=1.0).fit(np.full((1, 4, 3), 9.0)),
        "arctan": pp.Arctan(),
        "impute": pp.Pipeline([pp.Log(offset=0.0), pp.Impute()]).restore(
            (4, 3), {"0.scale": np.ones(1, np.float32), "1.values": np.zeros(12, np.float32)}
        ),
    }[kind]
    model = cc.Sequential([cc.Input((4,)), layers.Dense(12, use_bias=False), layers.Reshape((4, 3)), step.layer()])
    w = np.random.default_rng(5).uniform(0.1, 1, (4, 12)).astype(np.float32)
    if kind == "impute":
        w[:, ::2] *= -1  # log of these is NaN, then 0 without a gradient
    model.set_weights([w, *model.get_weights()[1:]])
    model.compile(cc.optimizers.SGD(1.0), "mse")
    model.train_on_batch(x, target)
    gradient = w - model.get_weights()[0]

    def loss(weights):
        z = (f64(x) @ weights).reshape(6, 4, 3)
        if kind in ("standardize", "per channel"):
            axes = (1,) if kind == "per channel" else (1, 2)
            z = (z - z.mean(axis=axes, keepdims=True)) / np.maximum(1e-3, z.std(axis=axes, keepdims=True))
        elif kind == "log":
            z = np.log(z + 1) / np.log(10)
        elif kind == "arctan":
            z = 2 * np.arctan(z) / np.pi
        else:
            z = np.where(z > 0, np.log(np.abs(z)), 0)
        return ((z - target) ** 2).mean()

    numeric = np.zeros((4, 12))
    for index in np.ndindex(4, 12):
        shift = np.zeros((4, 12))
        shift[index] = 1e-5
        numeric[index] = (loss(f64(w) + shift) - loss(f64(w) - shift)) / 2e-5
    np.testing.assert_allclose(gradient, numeric, atol=2e-4 * np.abs(numeric).max())
    if kind == "impute":
        assert not gradient[:, ::2].any()


# ---------------------------------------------------------------- Keras' layer


def test_normalization():
    for axis, per in ((-1, "channel"), (None, "all"), ((1, 2, 3), "feature")):
        layer = layers.Normalization(axis=axis)
        layer.adapt(BYTES)
        mean, std = (getattr(f64(BYTES), what)(axis=AXES[per], keepdims=True) for what in ("mean", "std"))
        y = layer(BYTES)
        same(y, (f64(BYTES) - mean) / std, 2 * affine_bound(BYTES, mean, 1 / std))
        back = layers.Normalization(axis=axis, mean=np.squeeze(mean), variance=np.squeeze(std**2), invert=True)(y)
        np.testing.assert_allclose(back, BYTES, atol=1e-3)
    given = layers.Normalization(mean=3.0, variance=4.0)
    same(given(TABLE), (f64(TABLE) - 3) / 2, affine_bound(TABLE, 3, 0.5))
    constant = layers.Normalization()
    constant.adapt(np.full((4, 2), 0.1, np.float32))
    assert not constant(np.full((4, 2), 0.1, np.float32)).any()


def test_normalization_is_saved(tmp_path):
    layer = layers.Normalization()
    layer.adapt(BYTES)
    model = cc.Sequential([cc.Input((5, 4, 3), dtype="uint8"), layer])
    model.save(tmp_path / "model.cnn")
    assert np.array_equal(
        cc.load_model(tmp_path / "model.cnn").predict(BYTES, verbose=0), model.predict(BYTES, verbose=0)
    )


def test_normalization_against_keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    for arguments in (
        {},
        {"axis": None},
        {"mean": 2.0, "variance": 9.0},
        {"mean": 2.0, "variance": 9.0, "invert": True},
    ):
        own, theirs = layers.Normalization(**arguments), keras.layers.Normalization(**arguments)
        if "mean" not in arguments:
            own.adapt(TABLE[:, :4])
            theirs.adapt(TABLE[:, :4])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = np.asarray(keras.ops.convert_to_numpy(theirs(TABLE[:, :4])))
        np.testing.assert_allclose(own(TABLE[:, :4]), expected, rtol=1e-5, atol=1e-5)  # Keras takes moments in float32


# ---------------------------------------------------------------- guards and refusals


def test_constant_features_are_guarded():
    x = TABLE.copy()
    x[:, 2] = 0.1
    x[:, 4] = 1e6
    for step in (pp.ZScore(), pp.MinMax(), pp.MeanImage()):
        y = step.fit_transform(x)
        assert np.isfinite(y).all() and not y[:, [2, 4]].any(), step
    assert pp.MinMax(-1, 1).fit_transform(x)[:, 2].tolist() == [-1] * 80
    assert not pp.Log().fit_transform(np.zeros((3, 2), np.float32)).any()
    for step in (pp.PCAWhitening(), pp.ZCAWhitening(), pp.PCA()):
        assert np.isfinite(step.fit_transform(x)).all()
    with pytest.raises(ValueError, match="epsilon must be > 0, the data vary in 4 of 6 directions"):
        pp.ZCAWhitening(epsilon=0).fit(x)
    assert np.isfinite(pp.PCAWhitening(4, epsilon=0).fit_transform(x)).all()  # the directions in which they do vary


@pytest.mark.parametrize("step", [s for s in EVERY if not isinstance(s, pp.Impute)], ids=repr)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(step, value):
    x = BYTES.astype(np.float32)
    fitted = fresh(step).fit(x, LABELS[:60])
    arrays = fitted.arrays
    x[3, 2, 1, 0] = value
    for call in (fitted.fit, fitted.partial_fit, fitted.fit_transform):
        if isinstance(step, pp.Pipeline) and call == fitted.partial_fit:
            continue
        with pytest.raises(ValueError, match="must be finite, got"):
            call(x, LABELS[:60])
    with pytest.raises(ValueError, match="must be finite, got"):
        fitted.transform(x)
    assert all(np.array_equal(array, arrays[name]) for name, array in fitted.arrays.items())  # nothing was changed


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: pp.Standardize().transform(BYTES), r"Standardize: must be fitted first: fit\(x_train\)"),
        (lambda: pp.Standardize().layer(), "must be fitted first"),
        (lambda: pp.Pipeline([pp.Rescale(), pp.ZScore()]).layer(), "must be fitted first"),
        (lambda: pp.Impute().inverse_transform(BYTES), "Impute: has no inverse"),
        (lambda: pp.HounsfieldWindow().inverse_transform(BYTES), "outside the window is gone"),
        (lambda: pp.ZScore().fit(TABLE).transform(TABLE[:, :3]), r"must have shape \(6,\) as those fitted, got \(3,\)"),
        (lambda: pp.ZScore().partial_fit(TABLE).partial_fit(TABLE[:, :3]), r"must have shape \(6,\) as those before"),
        (lambda: pp.Standardize().fit(BYTES).transform(BYTES[..., :1]), "as those fitted"),
        (lambda: pp.ZScore().fit(TABLE[:, 0]), r"x must have shape .* got \(80,\); give vectors as x\[:, None\]"),
        (lambda: pp.ZScore().fit(TABLE[:0]), "at least one sample"),
        (lambda: pp.ZScore().fit(iter([])), "gave none"),
        (lambda: pp.ZScore().fit([["a"]]), "array of numbers"),
        (lambda: pp.Log().fit(TABLE), r"Log: x must be >= 0, got .*logarithm must not be negative.*larger offset"),
        (lambda: pp.Log(offset=0).fit(BYTES), "Log: x must be >= 1, got 0"),
        (lambda: pp.Log().fit(BYTES).transform(-TABLE[:, :1] * 0 - 1), "Log: x must be >= 0, got -1"),
        (lambda: pp.Arctan().inverse_transform(np.float32([[2.0]])), "Arctan: y must be in -1 to 1, got 2"),
        (lambda: pp.PCA(9).fit(TABLE), "n_components must be at most the number of features, 6, got 9"),
        (lambda: pp.PCA(1.5), "n_components must be an integer >= 1, a share between 0 and 1, or None"),
        (lambda: pp.PCA(0), "n_components must be"),
        (lambda: pp.PCA().fit(TABLE[:1]), "at least 2 samples"),
        (lambda: pp.PCA().fit(np.zeros((2, 200, 200, 1), np.uint8)), "at most 16384 features, got 40000"),
        (lambda: pp.ZCAWhitening(-1.0), "epsilon must be"),
        (lambda: pp.LDA().fit(TABLE), "y must be given, the class of each sample"),
        (lambda: pp.LDA().fit(TABLE, LABELS[:5]), "y must be 80 whole numbers"),
        (lambda: pp.LDA().fit(TABLE, np.zeros(80, int)), "at least 2 classes, got 1"),
        (lambda: pp.LDA(4).fit(TABLE, LABELS), "n_components must be at most 3, for 4 classes and 6 features, got 4"),
        (lambda: pp.LDA().fit(np.eye(4)[LABELS], LABELS), "samples of each class must differ"),
        (lambda: pp.Impute("modal"), "strategy must be one of 'mean', 'median', 'mode'"),
        (lambda: pp.Impute().fit(np.float32([[1, np.nan], [2, np.nan]])), "number 1 is always missing"),
        (lambda: pp.Impute().fit(np.float32([[1, np.inf]])), "got an infinity"),
        (lambda: pp.Standardize("row"), "per must be one of"),
        (lambda: pp.MinMax(1, 1), "low must be below high"),
        (lambda: pp.Rescale(0.0), "scale must be"),
        (lambda: pp.Pipeline([]), "steps must be a list of preprocessing objects"),
        (
            lambda: pp.Pipeline([pp.ZScore(), pp.PCA()]).partial_fit(TABLE),
            "partial_fit must be used with one fitted step, this one has 2",
        ),
        (lambda: pp.Pipeline([pp.ZScore(), pp.PCA()]).fit(x for x in [TABLE]), "walked 2 times"),
        (lambda: pp.ZScore().fit(TABLE).layer().preprocessing.partial_fit(TABLE), "fit anew"),
        (
            lambda: pp.ZScore().fit(TABLE).restore((6,), {"center": np.zeros(6, np.float32)}),
            "have the names center, scale",
        ),
        (lambda: pp.deserialize({"class_name": "Whiten", "config": {}}), "preprocessing 'Whiten' is unknown"),
        (
            lambda: pp.ZScore().fit(np.float64([[0, 1e60], [0, 2e60]])),
            "beyond the range of float32; rescale the data first",
        ),
        (lambda: layers.Preprocessing(3), "must be an object of cnncore.preprocessing, got 3"),
        (
            lambda: pp.ZScore().fit(TABLE).layer()(cc.Input((5,))),
            r"must have shape \(6,\) as those the preprocessing was fitted on",
        ),
        (lambda: layers.Normalization(axis=1)(BYTES), "axis must be -1, None or all axes but the first"),
        (lambda: layers.Normalization(mean=1.0), "mean and variance must be given together"),
        (lambda: layers.Normalization(mean=1.0, variance=1.0).adapt(BYTES), "adapt must not be called"),
        (lambda: layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 2.0])(BYTES), r"must have shape \(3,\)"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((ValueError, RuntimeError), match=message):
        call()


def test_a_mode_of_too_many_values_is_refused():
    step = pp.Impute("mode")
    step.partial_fit(np.arange(70000, dtype=np.float32)[:, None])
    with pytest.raises(ValueError, match='"mode" must be used with at most 65536 different values'):
        step.arrays


def test_a_damaged_description_is_refused(tmp_path):
    layer = pp.ZScore().fit(TABLE).layer()
    config = layer.get_config()
    for damage in (
        {"arrays": {"center": [6]}},
        {"arrays": {"center": [6], "scale": [-1]}},
        {"arrays": {"center": [6], "scale": "6"}},
        {"class_name": "os.system"},
        {"sample_shape": [0]},
    ):
        with pytest.raises(ValueError):
            layers.Preprocessing.from_config({**config, "preprocessing": {**config["preprocessing"], **damage}})
