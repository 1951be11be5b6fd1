"""Scripts written for Keras 3 run after nothing but their import lines is replaced; `python -m bench keras-scripts`
runs them under Keras too."""

import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SETTINGS = {  # script: epochs, training images, least test accuracy (chance is 0.1)
    "mnist_sequential": (3, 2000, 0.7),
    "cifar10_residual": (4, 4000, 0.25),
}
DATA = {"mnist_sequential": "mnist", "cifar10_residual": "cifar-10-batches-bin"}


@pytest.mark.parametrize("name", SETTINGS)
def test_script(name, monkeypatch):
    root = os.environ.get("CNNCORE_DATA")
    if not root or not (pathlib.Path(root) / DATA[name]).is_dir():
        pytest.skip(f"CNNCORE_DATA must name a folder that holds {DATA[name]}/")
    monkeypatch.syspath_prepend(ROOT)
    from bench import keras_scripts

    epochs, images, least = SETTINGS[name]
    output, results, _ = keras_scripts.run_script(name, "cnncore", epochs=epochs, images=images, threads=1)
    assert least <= results["accuracy"] <= 1 and 0 < results["loss"] < 10
    assert f"Epoch {epochs}/{epochs}" in output and "val_accuracy" in output
