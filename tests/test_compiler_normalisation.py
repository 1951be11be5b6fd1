"""The compiler: normalisations, forward and backward, that are done by the operations around them. Each fusion changes
nothing, or roundings alone.
"""

import numpy as np
import pytest

import cnncore as cc
from cnncore import _core, layers
from cnncore.compiler import expansions, normalise_on_load, normalised_gradients
from cnncore.compiler.programs import passes
from random_graphs import assert_equal_but_for_rounding, assert_same_bits, one_step, operations


def _inverted_bottleneck(strides, shortcut):
    """Expanding convolution, normalisation, ReLU6, depthwise convolution; `shortcut`: something else reads it too."""
    cc.utils.set_random_seed(1)
    inputs = cc.Input((9, 8, 5))
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(18, 1, use_bias=False)(inputs))
    t = layers.ReLU(6.0)(x)
    x = layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False, name="depthwise")(t)
    x = layers.BatchNormalization()(x)
    if shortcut:
        x = layers.Concatenate()([layers.GlobalAveragePooling2D()(v) for v in (x, t)])
    else:
        x = layers.GlobalAveragePooling2D()(x)
    model = cc.Model(inputs, layers.Dense(3)(x))
    model.compile(cc.optimizers.SGD(0.1), cc.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.parametrize("strides", [1, 2])
def test_a_normalisation_is_done_within_the_depthwise_convolution_that_reads_it(strides):
    x, y = np.random.default_rng(3).normal(size=(4, 9, 8, 5)).astype(np.float32), np.arange(4) % 3
    results = {}
    for fused in (True, False):
        with passes(fuse=fused):
            model = _inverted_bottleneck(strides, shortcut=False)
            results[fused] = one_step(model, x, y)
            names = {name for name, _ in operations(model)}
        new = {"batchnorm_depthwise_conv2d", "batchnorm_depthwise_conv2d_backward"}
        assert new <= names if fused else not new & names
        assert ("depthwise_conv2d_backward_weight" in names) != fused
    assert_equal_but_for_rounding(results[True], results[False])


@pytest.mark.parametrize("strides", [1, 2])
def test_the_gradient_of_the_normalisation_after_a_depthwise_convolution_is_made_on_load(strides, monkeypatch):
    x, y = np.random.default_rng(3).normal(size=(4, 9, 8, 5)).astype(np.float32), np.arange(4) % 3
    results = {}
    for on_load in (True, False):
        monkeypatch.setattr(normalised_gradients, "SMALLEST_BYTES", 0 if on_load else 1 << 60)
        model = _inverted_bottleneck(strides, shortcut=False)
        results[on_load] = one_step(model, x, y)
        kernel = "gradient normalised on load"
        assert (kernel in model.describe(batch_size=4, training=True)) == on_load
    assert_equal_but_for_rounding(results[True], results[False])


def _expanded(narrow, shortcut, strides):
    """Two inverted bottlenecks, `narrow` channels to 48 and back; the second may add what it reads, a shortcut."""
    inputs = cc.Input((13, 12, 5))
    x = layers.BatchNormalization()(layers.Conv2D(narrow, 3, padding="same", use_bias=False)(inputs))
    for stride in (strides, 1):
        t = layers.BatchNormalization()(layers.Conv2D(48, 1, use_bias=False)(x))
        y = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(layers.ReLU(6.0)(t))
        y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
        y = layers.BatchNormalization()(layers.Conv2D(narrow, 1, use_bias=False)(y))
        x = layers.Add()([x, y]) if shortcut and stride == 1 else y
    model = cc.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    model.compile(cc.optimizers.SGD(0.1), cc.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


EXPANSIONS = ("expansion_moments", "expanded_depthwise_conv2d", "expanded_depthwise_conv2d_backward")


@pytest.mark.parametrize("narrow, shortcut, strides", [(8, True, 2), (3, False, 1), (16, True, 1)])
def test_an_expanded_tensor_need_not_exist(narrow, shortcut, strides, monkeypatch):
    """The same but for rounding, as gradients and as the moments that normalisations remember; and less memory."""
    monkeypatch.setattr(expansions, "SMALLEST_BYTES", 0)
    x, y = np.random.default_rng(3).normal(size=(4, 13, 12, 5)).astype(np.float32), np.arange(4) % 3
    results, memory = {}, {}
    for made_again in (True, False):
        with passes(expansions=made_again):
            cc.utils.set_random_seed(1)
            model = _expanded(narrow, shortcut, strides)
            results[made_again] = one_step(model, x, y)
            names = [name for name, _ in operations(model)]
            memory[made_again] = model.memory(batch_size=64, training=True)["arena"]
        assert [names.count(name) for name in EXPANSIONS] == [2 * made_again] * 3
    assert_equal_but_for_rounding(results[True], results[False])
    assert memory[True] < 0.8 * memory[False]


def test_an_expanded_tensor_is_kept_where_making_it_again_costs_more_or_changes_sums(monkeypatch):
    """Small ones, those of many channels, and where only algorithms without a detour are wanted."""
    names = lambda model: {name for name, _ in operations(model)}
    assert not names(_expanded(8, False, 1)) & {*EXPANSIONS}
    monkeypatch.setattr(expansions, "SMALLEST_BYTES", 0)
    assert names(_expanded(8, False, 1)) >= {*EXPANSIONS}
    assert not names(_expanded(17, False, 1)) & {*EXPANSIONS}
    try:
        cc.set_exact(True)
        assert not names(_expanded(8, False, 1)) & {*EXPANSIONS}
    finally:
        cc.set_exact(False)


def test_a_normalisation_that_others_read_is_written():
    names = {name for name, _ in operations(_inverted_bottleneck(1, shortcut=True))}
    assert "depthwise_conv2d_backward_weight" in names and "batchnorm_depthwise_conv2d" not in names


def _normalised_block(channels, kernel, strides=1, residual=False):
    """A normalisation of maps of 31x32, a ReLU and a convolution; `residual`: a shortcut reads it too."""
    inputs = layers.Input((31, 32, 5))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(channels, 3, padding="same", use_bias=False)(inputs)))
    y = layers.BatchNormalization()(layers.Conv2D(channels, kernel, strides, "same", use_bias=False)(x))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.Add()([x, y]) if residual else y))
    model = cc.Model(inputs, layers.Dense(3)(x))
    model.compile(cc.optimizers.SGD(0.1), cc.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def _on_load_and_before(build, shape, monkeypatch):
    """The state after a step and the names of the operations: where normalisations are done by what reads them, and
    where each has a pass of its own."""
    x, y = np.random.default_rng(3).normal(size=(4, *shape)).astype(np.float32), np.arange(4) % 3
    steps = []
    for normalise in (normalise_on_load.normalise_on_load, lambda graph: None):
        monkeypatch.setattr(normalise_on_load, "normalise_on_load", normalise)
        cc.utils.set_random_seed(1)
        model = build()
        steps.append((one_step(model, x, y), {name for name, _ in operations(model)}))
    return steps


NORMALISING = {"batchnorm_conv2d", "batchnorm_conv2d_backward_weight"}


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("channels, kernel", [(9, 1), (18, 3)])
def test_a_normalisation_is_done_within_the_convolution_that_reads_it(channels, kernel, strides, monkeypatch):
    """Of 1x1 with stride 1, or of 3x3 by Winograd's algorithm: the same bits."""
    build = lambda: _normalised_block(channels, kernel, strides)
    (fused, names), (separate, names_before) = _on_load_and_before(build, (31, 32, 5), monkeypatch)
    assert not NORMALISING & names if (kernel, strides) == (1, 2) else NORMALISING <= names
    assert not NORMALISING & names_before
    assert_same_bits(fused, separate)


@pytest.mark.parametrize("channels, kernel", [(9, 1), (18, 3)])
def test_a_normalisation_that_a_shortcut_reads_too_is_kept(channels, kernel):
    assert not NORMALISING & {name for name, _ in operations(_normalised_block(channels, kernel, residual=True))}


def _pooled_block(activation, pool, also=False):
    """A normalisation of maps of 13x14, an activation and a pooling; `also`: a convolution reads it too."""
    inputs = layers.Input((13, 14, 5))
    x = layers.BatchNormalization()(layers.Conv2D(19, 3, padding="same", use_bias=False)(inputs))
    if activation is not None:
        x = layers.Activation(activation)(x)
    y = layers.Flatten()(layers.MaxPooling2D(pool, 2, "same")(x))
    if also:
        y = layers.Concatenate()([y, layers.Flatten()(layers.Conv2D(3, 3)(x))])
    model = cc.Model(inputs, layers.Dense(3)(y))
    model.compile(cc.optimizers.SGD(0.1), cc.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.parametrize("activation, pool", [("relu", 2), ("relu6", 3), (None, 3)])
def test_a_normalisation_is_done_within_the_pooling_that_reads_it(activation, pool, monkeypatch):
    build = lambda: _pooled_block(activation, pool)
    (fused, names), (separate, names_before) = _on_load_and_before(build, (13, 14, 5), monkeypatch)
    assert "batchnorm" not in names and "batchnorm" in names_before
    assert_same_bits(fused, separate)


@pytest.mark.parametrize("activation, pool, also", [("relu", 2, True), ("tanh", 2, False), ("relu", 17, False)])
def test_a_normalisation_is_done_before_the_pooling(activation, pool, also):
    """Where others read it too, its activation is no relu, or the window is too large for places, so that the gradient
    needs what was pooled."""
    assert "batchnorm" in {name for name, _ in operations(_pooled_block(activation, pool, also))}


def _residual_blocks():
    """Two sums of a normalisation and a shortcut, each read by a 1x1 convolution and the next shortcut."""
    inputs = layers.Input((7, 11, 5))
    x = layers.Conv2D(9, 3, padding="same", use_bias=False)(inputs)
    for name in ("first", "second"):
        y = layers.BatchNormalization()(layers.Conv2D(20, 1, use_bias=False, name=name)(x))
        y = layers.Conv2D(9, 1, use_bias=False)(layers.ReLU()(y))
        x = layers.ReLU()(layers.Add()([layers.BatchNormalization()(y), x]))
    y = layers.BatchNormalization()(layers.Conv2D(6, 1, use_bias=False, name="last")(x))
    x = layers.Concatenate()([y, x])
    model = cc.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    model.compile(cc.optimizers.SGD(0.1), cc.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_the_1x1_convolution_after_a_residual_block_adds_and_writes_its_result(monkeypatch):
    x, y = np.random.default_rng(3).normal(size=(4, 7, 11, 5)).astype(np.float32), np.arange(4) % 3
    results = {}
    for fused in (True, False):
        monkeypatch.setattr(normalise_on_load, "SMALLEST_WRITTEN_BYTES", 0 if fused else 1 << 60)
        cc.utils.set_random_seed(1)
        model = _residual_blocks()
        results[fused] = one_step(model, x, y)
        done = {layer.split(" + ")[-1] for name, layer in operations(model) if name == "batchnorm_conv2d"}
        assert {"second", "last"} & done == ({"second", "last"} if fused else set())
    assert_same_bits(results[True], results[False])


def test_direct_sums_normalise_for_convolutions_of_1x1_alone():
    """Not those of 3x3 with too few channels or pixels for Winograd's algorithm, or where it is not wanted."""
    assert not NORMALISING & {name for name, _ in operations(_normalised_block(6, 3))}
    try:
        cc.set_exact(True)
        assert not NORMALISING & {name for name, _ in operations(_normalised_block(18, 3))}
        assert NORMALISING <= {name for name, _ in operations(_normalised_block(9, 1))}
    finally:
        cc.set_exact(False)


def test_a_residual_that_is_normalised_is_so_where_it_is_added(monkeypatch):
    """The same bits as of a normalisation of its own."""
    x, y = np.random.default_rng(3).normal(size=(4, 12, 11, 5)).astype(np.float32), np.arange(4) % 3
    monkeypatch.setattr(normalise_on_load, "SMALLEST_WRITTEN_BYTES", 0)
    results = {}
    for fused in (True, False):
        if not fused:
            monkeypatch.setattr(normalise_on_load, "_normalise_residuals", lambda graph: None)
        cc.utils.set_random_seed(1)
        model = _two_normalisations_and_a_pooled_one()
        results[fused] = one_step(model, x, y)
        apart = sum(name == "batchnorm" and " + " not in layer for name, layer in operations(model))
        assert apart == (0 if fused else 1)
    assert_same_bits(results[True], results[False])


def _bottlenecks():
    """Convolutions before normalisations: of an image, and 1x1 of a tensor and of a normalised one, with a shortcut."""
    inputs = layers.Input((12, 11, 5))
    x = layers.BatchNormalization()(layers.Conv2D(18, 3, padding="same", use_bias=False, name="first")(inputs))
    before = layers.BatchNormalization()(layers.Conv2D(9, 1, use_bias=False, name="plain")(layers.ReLU(6.0)(x)))
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(40, 1, use_bias=False, name="wide")(before)))
    x = layers.BatchNormalization()(layers.Conv2D(9, 1, use_bias=False, name="narrow")(x))
    x = layers.ReLU()(layers.Add()([x, before]))
    x = layers.BatchNormalization()(layers.Conv2D(7, 1, 2, use_bias=False, name="strided")(x))
    model = cc.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    model.compile(cc.optimizers.SGD(0.1), cc.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_the_gradients_of_a_1x1_convolution_and_of_the_normalisation_after_it_are_made_together(monkeypatch):
    x, y = np.random.default_rng(3).normal(size=(4, 12, 11, 5)).astype(np.float32), np.arange(4) % 3
    results = {}
    for together in (True, False):
        monkeypatch.setattr(normalised_gradients, "SMALLEST_BYTES", 0 if together else 1 << 60)
        cc.utils.set_random_seed(1)
        model = _bottlenecks()
        results[together] = one_step(model, x, y)
        layers_of = {}
        for name, layer in operations(model):
            layers_of.setdefault(name, set()).add(layer.split(" + ")[0])
        assert layers_of.get("pointwise_conv2d_backward", set()) == ({"plain", "wide", "narrow"} if together else set())
        assert len(layers_of["batchnorm_backward"]) == (1 if together else 5)
    assert_equal_but_for_rounding(results[True], results[False])
    model = _bottlenecks()
    monkeypatch.setattr(normalised_gradients, "SMALLEST_BYTES", 0)
    monkeypatch.setattr(normalised_gradients, "LARGEST_WEIGHT", 0)
    model.train_on_batch(x, y)
    assert "pointwise_conv2d_backward" not in {name for name, _ in operations(model)}


def _two_normalisations_and_a_pooled_one():
    """A sum of two normalisations, whose gradient can bring the sums of one of them alone, after a pooled one."""
    inputs = layers.Input((12, 11, 5))
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same", use_bias=False, name="first")(inputs))
    x = layers.MaxPooling2D(3, 2)(layers.ReLU()(x))
    y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(9, 3, padding="same", use_bias=False)(x)))
    y = layers.BatchNormalization()(layers.Conv2D(20, 1, use_bias=False, name="last")(y))
    x = layers.BatchNormalization()(layers.Conv2D(20, 1, use_bias=False, name="shortcut")(x))
    x = layers.Conv2D(7, 1, use_bias=False)(layers.ReLU()(layers.Add()([y, x])))
    model = cc.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    model.compile(cc.optimizers.SGD(0.1), cc.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_sums_that_do_not_come_with_the_gradient_take_a_pass(monkeypatch):
    x, y = np.random.default_rng(3).normal(size=(4, 12, 11, 5)).astype(np.float32), np.arange(4) % 3
    results = {}
    for together in (True, False):
        monkeypatch.setattr(normalised_gradients, "SMALLEST_BYTES", 0 if together else 1 << 60)
        cc.utils.set_random_seed(1)
        model = _two_normalisations_and_a_pooled_one()
        results[together] = one_step(model, x, y)
        names = [name for name, _ in operations(model)]
        assert names.count("batchnorm_backward") == (1 if together else 4)  # that of the 3x3 convolution
        assert names.count("batchnorm_backward_constants") == (3 if together else 0)
    assert_equal_but_for_rounding(results[True], results[False])


def test_the_gradients_of_a_strided_shortcut_stay_apart(monkeypatch):
    """The one in the input is computed for every other pixel alone, as if there were no stride."""
    monkeypatch.setattr(normalised_gradients, "SMALLEST_BYTES", 0)
    model = cc.models.ResNet20()
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert "pointwise_conv2d_backward" not in {name for name, _ in operations(model)}


def _dense_block(depth=3):
    """Each layer reads what all before it have given."""
    inputs = layers.Input((12, 11, 5))
    x = layers.Conv2D(10, 3, padding="same", use_bias=False)(inputs)
    for i in range(depth):
        y = layers.ReLU()(layers.BatchNormalization(name=f"norm{i}")(x))
        y = layers.Conv2D(6, 3, padding="same", use_bias=False, name=f"conv{i}")(y)
        x = layers.Concatenate(name=f"concat{i}")([y, x] if i == 1 else [x, y])
    x = layers.ReLU()(layers.BatchNormalization(name="last")(x))
    model = cc.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    model.compile(cc.optimizers.SGD(0.1), cc.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_a_dense_block_takes_no_moments_twice_and_adds_gradients_where_they_lie():
    x, y = np.random.default_rng(3).normal(size=(4, 12, 11, 5)).astype(np.float32), np.arange(4) % 3
    results = {}
    for fused in (True, False):
        with passes(fuse=fused):
            cc.utils.set_random_seed(1)
            model = _dense_block()
            results[fused] = one_step(model, x, y)
            names = [name for name, _ in operations(model)]
        assert names.count("batchnorm_moments") == (0 if fused else 4)
        assert names.count("add") == (0 if fused else 3)
        assert names.count("slice") == (3 if fused else 6)  # of what a convolution gave, which reads its gradient
        assert names.count("concat") == (3 + 2 * 3 if fused else 3)
    assert_equal_but_for_rounding(results[True], results[False])


def test_moments_of_a_concatenation_of_which_nothing_is_known_take_one_pass():
    inputs = layers.Input((12, 11, 5))
    x = [layers.ReLU()(layers.Conv2D(6, 3, padding="same", name=f"conv{i}")(inputs)) for i in range(2)]
    x = layers.BatchNormalization()(layers.Concatenate()(x))
    model = cc.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    model.compile("sgd", "sparse_categorical_crossentropy")
    names = [name for name, _ in operations(model)]
    assert names.count("batchnorm_moments") == names.count("concat") == 1


def test_a_gradient_that_is_added_must_have_the_channels():
    c, x = np.ones(3, np.float32), np.ones((2, 5, 3), np.float32)

    def run(added, begin=0, sums=c, outputs=(True,)):
        inputs = [x, x, None, c, c, None, None, None, sums, sums, added]
        return _core.run_op("batchnorm_backward", inputs, {"added_begin": begin}, outputs=outputs)

    assert np.array_equal(run(np.tile(x, 2), 3)[0], run(x)[0])
    for added, begin in ((x, 1), (x[:1], 0), (np.tile(x, 2), 4)):
        with pytest.raises(ValueError, match="added must be float32 with the shape of x"):
            run(added, begin)
    with pytest.raises(ValueError, match="added must be given in training and with sum_g and sum_gx"):
        run(x, sums=None)
    with pytest.raises(ValueError, match="added must be given without grad_residual"):
        run(x, outputs=(True,) * 4)
