"""Splits, folds and samplers."""

import numpy as np
import pytest

from cnncore import data
from cnncore.data.sampling import occurrences


def labelled(counts, one_hot=False):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    return data.ArrayDataset(np.arange(len(labels))[:, None, None], np.eye(len(counts))[labels] if one_hot else labels)


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize(
    "counts, fractions",
    [
        ((100, 50, 10), (0.8, 0.2)),
        ((7, 1, 3, 40), (0.7, 0.15, 0.15)),
        ((33, 34), (1 / 3, 1 / 3, 1 / 3)),
        ((500, 2), (0.9, 0.1)),
    ],
)
def test_stratified_split(counts, fractions, one_hot):
    dataset = labelled(counts, one_hot)
    parts = data.split(dataset, fractions, seed=3)
    assert sorted(np.concatenate([p.indices for p in parts])) == list(range(len(dataset)))
    for c, count in enumerate(counts):
        shares = [np.count_nonzero((p.labels.argmax(1) if one_hot else p.labels) == c) for p in parts]
        spared = sum(count * fraction < 1 for fraction in fractions)  # parts that others leave an image to
        for share, fraction in zip(shares, fractions):
            assert abs(share - count * fraction) <= 1 + spared
        assert all(shares) or count < len(fractions)
    for part in parts:
        assert (np.diff(part.indices) > 0).all()
        assert part[0][0].item() == part.indices[0]


def test_split_follows_the_seed():
    dataset = labelled((60, 40))
    a, b, c = (data.split(dataset, seed=s)[1].indices.tolist() for s in (1, 1, 2))
    assert a == b != c
    assert data.split(dataset)[1].indices.tolist() != data.split(dataset)[1].indices.tolist()
    unlabelled = data.ArrayDataset(np.zeros((10, 2, 2)))
    assert [len(p) for p in data.split(unlabelled, (0.5, 0.3, 0.2), stratified=False, seed=1)] == [5, 3, 2]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(fractions=(0.8, 0.3)), "fractions must be two or more that sum to 1"),
        (dict(fractions=(1,)), "two or more"),
        (dict(fractions=(1.2, -0.2)), "fractions must be a finite number > 0"),
        (dict(seed=-1), "seed"),
        (dict(stratified=1), "stratified must be True or False"),
        (dict(fractions=(0.5,) * 2 + (1e-9,) * 2), "gets none"),
    ],
)
def test_split_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.split(labelled((2, 1)), **arguments)


def test_split_needs_classes():
    for y, message in (
        (None, "must have labels"),
        (np.zeros((4, 3)), "one-hot"),
        ([0.5, 1, 2, 3], "class numbers"),
        ([-1, 0, 0, 0], "not be negative"),
    ):
        with pytest.raises(ValueError, match=message):
            data.split(data.ArrayDataset(np.zeros((4, 2, 2)), y))
    with pytest.raises(ValueError, match="dataset must be a cnncore.data.Dataset"):
        data.split(np.zeros((4, 2, 2)))
    with pytest.raises(ValueError, match="at least one image"):
        data.split(data.ArrayDataset(np.zeros((0, 2, 2))))


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("k", [2, 3, 7])
def test_kfold(k, shuffle, stratified):
    dataset = labelled((23, 11, 5))
    folds = list(data.KFold(k, shuffle, stratified, seed=5 if shuffle else None).split(dataset))
    assert len(folds) == k
    assert sorted(np.concatenate([v.indices for _, v in folds])) == list(range(39))
    sizes = [len(v) for _, v in folds]
    assert max(sizes) - min(sizes) <= 1
    for train, validation in folds:
        assert sorted([*train.indices, *validation.indices]) == list(range(39))
    if stratified:
        counts = np.array([np.bincount(v.labels, minlength=3) for _, v in folds])
        assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()
    again = data.KFold(k, shuffle, stratified, seed=5 if shuffle else None).split(dataset)
    assert [v.indices.tolist() for _, v in again] == [v.indices.tolist() for _, v in folds]


def test_kfold_errors():
    with pytest.raises(ValueError, match="n_splits must be an integer >= 2"):
        data.KFold(1)
    with pytest.raises(ValueError, match="at least n_splits=5 images, got 4"):
        data.KFold(5).split(labelled((4,)))
    with pytest.raises(ValueError, match="seed must be left out with shuffle=False"):
        data.KFold(shuffle=False, seed=1)
    folds = data.KFold(3)
    assert [v.indices.tolist() for _, v in folds.split(labelled((9,)))] == [
        v.indices.tolist() for _, v in folds.split(labelled((9,)))
    ]


# ------------------------------------------------------------------------------------------------- samplers


def test_orders_are_functions_of_seed_and_epoch():
    samplers = [
        data.ShuffledSampler(50),
        data.WeightedSampler(np.arange(50) + 1.0),
        data.WeightedSampler(np.arange(50) + 1.0, 20, replacement=False),
        data.BalancedSampler([0] * 45 + [1] * 5),
    ]
    for sampler in samplers:
        orders = {(s, e): tuple(sampler.order(s, e)) for s in (0, 1, 2**63) for e in (0, 1, 2)}
        assert len(set(orders.values())) == 9
        assert all(len(o) == len(sampler) for o in orders.values())
        assert orders[1, 2] == tuple(sampler.order(1, 2))
    assert sorted(data.ShuffledSampler(50).order(3, 4)) == list(range(50))
    assert data.SequentialSampler(4).order(1, 1).tolist() == [0, 1, 2, 3]


def test_weighted_sampler_draws_by_weight():
    weights = np.array([0, 1, 2, 7.0])
    drawn = np.bincount(data.WeightedSampler(weights, 40000).order(1, 0), minlength=4)
    expected = 40000 * weights / 10
    assert drawn[0] == 0 and (np.abs(drawn - expected) <= 5 * np.sqrt(expected)).all()  # 5 standard deviations
    once = data.WeightedSampler(weights, 1, replacement=False)
    first = np.bincount([once.order(1, e)[0] for e in range(4000)], minlength=4)
    assert first[0] == 0 and (np.abs(first - 4000 * weights / 10) <= 5 * np.sqrt(400 * weights)).all()
    assert sorted(data.WeightedSampler(weights, 3, replacement=False).order(0, 0)) == [1, 2, 3]
    for arguments, message in (
        (([1, -1],), "weights"),
        (([0, 0],), "not all 0"),
        (([1, np.nan],), "finite"),
        ((weights, 4, False), "at most the 3 images"),
        ((weights, 0), "num_samples"),
    ):
        with pytest.raises(ValueError, match=message):
            data.WeightedSampler(*arguments)


@pytest.mark.parametrize("samples", [None, 10, 31, 500])
def test_balanced_sampler(samples):
    labels = np.array([0] * 90 + [1] * 9 + [5] * 1)
    sampler = data.BalancedSampler(labels, samples)
    for epoch in range(3):
        order = sampler.order(7, epoch)
        assert len(order) == len(sampler) == (samples or 100)
        counts = np.bincount(labels[order])[[0, 1, 5]]
        assert counts.max() - counts.min() <= 1
        for c in (0, 1, 5):
            each = np.bincount(order, minlength=100)[labels == c]
            assert each.max() - each.min() <= 1
    np.testing.assert_array_equal(data.BalancedSampler(np.eye(6)[labels], samples).order(7, 2), order)


def test_class_weights():
    assert data.balanced_class_weight([0, 0, 0, 2]) == {0: 4 / 6, 2: 2.0}
    assert data.balanced_class_weight(labelled((10, 30))) == {0: 2.0, 1: 40 / 60}


def test_occurrences():
    order = np.random.default_rng(0).integers(0, 6, 50)
    expected = [np.count_nonzero(order[:i] == order[i]) for i in range(50)]
    assert occurrences(order).tolist() == expected
    assert occurrences(np.array([], np.int64)).tolist() == []
