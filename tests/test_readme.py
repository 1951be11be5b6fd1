"""What the README shows runs, and is all there."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_first_commands_set_up_train_and_predict_then_test():
    main_job, tests = blocks("sh")
    assert "pip install" in main_job and "cnncore train" in main_job and "cnncore predict" in main_job
    assert "pip install" in tests and "pytest" in tests


def test_python_example_runs(tmp_path):
    (example,) = blocks("python")
    assert len([line for line in example.splitlines() if line.strip()]) <= 20
    child = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{example}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert child.returncode == 0, child.stderr
    accuracy = float(re.findall(r"val_accuracy: ([0-9.]+)", child.stdout)[-1])
    assert accuracy > 0.95
    assert (tmp_path / "digits.cnn").exists()


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page):
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`((?:cnncore|src_c|tests|tools|bench|examples|\.ci)/[\w./*-]*)`", text))
    named |= set(re.findall(r"\]\((?!http)([\w./-]+)\)", text))
    missing = [name for name in named if not list(ROOT.glob(name.rstrip("/"))) and "square" not in name]
    assert not missing
    assert named or page == "CHANGELOG.md"
