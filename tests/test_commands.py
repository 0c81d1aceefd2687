"""The commands that the documents name: they exist, and their checks can fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"
#: How a make tells the makes that it starts about itself.
INHERITED = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"}
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", ".ci/run")

CHAPTER = """---
kernelspec:
  name: python3
  display_name: Python 3
jupytext:
  text_representation: {{extension: .md, format_name: myst}}
---

# A chapter

```{{code-cell}}
{code}
```
"""


def targets() -> set[str]:
    """Return the targets that `make help` lists."""
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.M))


def lint(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Lint a book of one chapter with one cell."""
    (folder / "q9.md").write_text(CHAPTER.format(code=code))
    command = [sys.executable, str(ROOT / "tools" / "lint_chapters.py"), str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def make(target: str) -> subprocess.CompletedProcess[str]:
    """Run make as a person does; as a child of `make test` it would announce its directory."""
    alone = {name: value for name, value in os.environ.items() if name not in INHERITED}
    return subprocess.run(
        ["make", target], cwd=ROOT, env=alone, capture_output=True, text=True, check=False
    )


@pytest.mark.needs_tool("make")
def test_help_lists_every_target_that_a_person_calls() -> None:
    done = make("help")
    assert set(re.findall(r"^  make ([a-z-]+)", done.stdout, re.M)) == targets()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_target_that_a_document_names_exists(document: str) -> None:
    text = (ROOT / document).read_text("utf-8")
    # As a command: at the start of a line, after `step`, or in backquotes.
    named = re.findall(r"(?:^|`|step )make ((?:[a-z]+ ?)+)", text, re.M)
    assert named
    assert {word for words in named for word in words.split()} <= targets()


@pytest.mark.needs_tool("make")
def test_what_is_not_there_yet_fails_and_says_so() -> None:
    done = make("sweep")
    assert (done.returncode, done.stdout) == (
        2,
        "make sweep: not there yet, it comes with the lab\n",
    )


def test_a_clean_cell_passes(tmp_path: Path) -> None:
    done = lint(tmp_path, "import math\n\nmath.pi")
    assert (done.returncode, done.stdout) == (0, "chapters linted: 1\n")


@pytest.mark.parametrize(
    ("code", "finding"),
    [("import os", "F401"), ("print(undefined)", "F821"), ("x  =  1", "-x  =  1")],
)
def test_a_bad_cell_is_found_and_its_chapter_named(tmp_path: Path, code: str, finding: str) -> None:
    done = lint(tmp_path, code)
    assert done.returncode == 1
    assert finding in done.stdout + done.stderr
    assert "q9.ipynb" in done.stdout + done.stderr


def test_every_requirement_is_locked() -> None:
    written = {path.stem for path in REQUIREMENTS.glob("*.in")} - {"runtime"}
    assert written == {path.stem for path in REQUIREMENTS.glob("*.txt")}


def test_the_copies_that_jupyterlab_keeps_are_no_chapters(tmp_path: Path) -> None:
    copies = tmp_path / ".ipynb_checkpoints"
    copies.mkdir()
    (copies / "q9-checkpoint.md").write_text(CHAPTER.format(code="print(undefined)"))

    done = lint(tmp_path, "x = 1")
    assert (done.returncode, done.stdout) == (0, "chapters linted: 1\n")


@pytest.mark.parametrize("lock", sorted(REQUIREMENTS.glob("*.txt")), ids=lambda path: path.stem)
def test_a_lock_pins_by_hash_and_names_no_index(lock: Path) -> None:
    logical = lock.read_text("utf-8").replace("\\\n", " ").splitlines()
    pins = [line for line in logical if line and not line.startswith("#")]
    assert pins
    assert all(
        re.match(r"[a-z0-9._-]+(\[[a-z,-]+\])?==\S+ .*--hash=sha256:", line) for line in pins
    )
    assert "://" not in lock.read_text("utf-8")
