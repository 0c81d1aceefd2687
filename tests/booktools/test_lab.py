"""JupyterLab opens chapters as notebooks, with the project's settings and nobody's else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from memslotlib.booktools import lab
from memslotlib.booktools.paths import BOOK, ROOT, BookError


def test_lab_starts_in_the_book(tmp_path: Path) -> None:
    program = tmp_path / "jupyter-lab"
    program.touch()

    line = lab.command(program, ["--no-browser"])

    assert line == [str(program), f"--ServerApp.root_dir={BOOK}", "--no-browser"]


def test_missing_lab_is_told(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="jupyter-lab is missing"):
        lab.command(tmp_path / "jupyter-lab", [])


def test_projects_settings_come_before_the_readers_own() -> None:
    made = lab.environment({"JUPYTER_CONFIG_PATH": "/mine", "MEMSLOTS_BOOK": "1", "HOME": "/h"})

    assert made["JUPYTER_CONFIG_PATH"] == os.pathsep.join([str(ROOT / ".jupyter"), "/mine"])
    assert made["HOME"] == "/h"
    assert made["JUPYTERLAB_WORKSPACES_DIR"] == str(ROOT / "_build" / "lab")
    assert "MEMSLOTS_BOOK" not in made


def test_double_click_opens_a_chapter_as_a_notebook() -> None:
    path = ROOT / ".jupyter" / "labconfig" / "default_setting_overrides.json"
    settings = json.loads(path.read_text(encoding="utf-8"))

    viewers = settings["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"]
    assert viewers == {"markdown": "Jupytext Notebook", "myst": "Jupytext Notebook"}
