"""The benchmarks of data: the same picture on all sides, generated folders, tables of runs."""

import argparse
import json
import pathlib
import random

import numpy as np
import pytest

from data_files import encoded, pattern, write

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def repository_on_path(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)


def test_all_sides_make_the_same_picture(tmp_path):
    pytest.importorskip("torch")
    from bench import pipeline

    path = write(tmp_path / "a.png", encoded(pattern(180, 240)))
    found = pipeline.check(str(path), 96)
    assert found and all(difference < pipeline.TOLERANCE for difference in found.values())


def test_a_wrong_peer_is_not_timed(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from bench import peer_pipelines, pipeline

    monkeypatch.setattr(peer_pipelines, "enhanced", lambda image, which, factor: image)
    path = write(tmp_path / "a.png", encoded(pattern(180, 240)))
    with pytest.raises(SystemExit, match="must give the same picture"):
        pipeline.check(str(path), 96)


def test_crops_of_the_peer_are_drawn_like_ours():
    """Area and proportions from the same ranges: means of 2,000 crops within 5 standard errors of each other."""
    pytest.importorskip("torch")
    from bench import peer_pipelines
    from cnncore import augment
    from cnncore.augment import draws

    random.seed(1)
    crop = augment.RandomResizedCrop(224)
    ours = [crop.piece((320, 240), draws.generator(1, 0, i))[2:] for i in range(2000)]
    theirs = [peer_pipelines.crop_box((320, 240))[2:] for _ in range(2000)]
    for measure in (lambda w, h: w * h, lambda w, h: np.log(w / h)):
        a, b = (np.array([measure(*size) for size in sizes]) for sizes in (ours, theirs))
        assert abs(a.mean() - b.mean()) < 5 * np.sqrt((a.var() + b.var()) / 2000)


def test_scan_counts_what_was_generated(tmp_path):
    from bench import scan

    if not pathlib.Path("/proc/self/status").exists():
        pytest.skip("the high-water mark is read from /proc")
    damaged = scan.generate(tmp_path, 2000)
    found = scan.scan(tmp_path)
    assert (found["files"], found["unreadable"]) == (2000, damaged) == (2000, 2)


RUN = {
    "variant": "none",
    "seed": 0,
    "images": 10,
    "epochs": 1,
    "batch": 2,
    "learning_rate": 0.1,
    "weight_decay": 0.0,
    "accuracy": 0.5,
    "loss": 1.0,
    "seconds": 1.0,
}


def test_table_of_an_augmentation_study():
    from bench import augmentation

    runs = [RUN, {**RUN, "seed": 1, "accuracy": 0.6}, {**RUN, "variant": "+mixup", "accuracy": 0.7}]
    lines = augmentation.markdown(runs).splitlines()
    assert lines[2] == "| none | 55.00 ± 7.07 % | 2 | 50.00 % | 60.00 % |"  # sqrt(2) * 5
    assert lines[3] == "| +mixup | 70.00 % | 1 | 70.00 % | 70.00 % |" and len(lines) == 4


def test_an_augmentation_study_goes_on_with_runs_of_the_same_budget(tmp_path):
    from bench import augmentation

    args = argparse.Namespace(
        results=str(tmp_path / "runs.jsonl"), images=10, epochs=1, batch=2, learning_rate=0.1, weight_decay=0.0
    )
    assert augmentation.earlier(args) == []
    (tmp_path / "runs.jsonl").write_text(json.dumps(RUN) + "\n" + json.dumps({**RUN, "epochs": 9}) + "\n")
    assert augmentation.earlier(args) == [RUN]


def test_variants_of_a_study_differ_in_their_batches():
    from bench import augmentation
    from cnncore import augment

    x = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    made = {name: augment.BatchAugment(**recipe)(x, seed=1).tobytes() for name, recipe in augmentation.VARIANTS.items()}
    assert len(set(made.values())) == len(made)
    assert made["none"] == x.astype(np.float32).tobytes()
