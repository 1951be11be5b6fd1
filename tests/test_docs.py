"""The pages of docs/: their examples run, and their pictures are there and small."""

import pathlib
import re
import shlex

import pytest
from PIL import Image

from data_files import photo_folder

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
PICTURE_BYTES = 150_000


@pytest.mark.parametrize("page", PAGES)
def test_examples_run_in_order(page, tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    photo_folder(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    names = {}
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), names)


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page):
    text = (DOCS / page).read_text()
    for name in re.findall(r"\]\((?!http)([\w./-]+)", text):
        assert (DOCS / name).is_file(), name
    for name in re.findall(r"`((?:tools|cnncore|bench)/[\w./]+)`", text):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES)
def test_options_of_the_command_line_exist(page):
    from cnncore import cli

    parser, text = cli._parser(), (DOCS / page).read_text()
    for line in re.findall(r"^(cnncore .*)$", text, re.MULTILINE) + re.findall(r"`(cnncore [^`]+)`", text):
        assert parser.parse_args(shlex.split(line)[1:])


def test_pictures_are_small_and_all_shown():
    shown = {name for page in PAGES for name in re.findall(r"\]\(pictures/([\w.-]+)\)", (DOCS / page).read_text())}
    assert shown == {path.name for path in (DOCS / "pictures").iterdir()}
    for name in shown:
        path = DOCS / "pictures" / name
        assert path.stat().st_size < PICTURE_BYTES, name
        with Image.open(path) as image:
            image.load()
