"""Lint the code cells of the chapters: ruff reads notebooks, but not MyST Markdown.

Each page with code cells is handed to ruff as the notebook that it is, so that a finding names its
cell and magics are understood. Usage: ``python tools/lint_chapters.py book``.
"""

import subprocess
import sys
from pathlib import Path

import jupytext

CODE_CELL = "```{code-cell}"


def ruff(command: list[str], notebook: str, name: str) -> bool:
    """Run one ruff command over a notebook; its findings go to this program's output."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--quiet", "--stdin-filename", name, "-"],
        input=notebook,
        text=True,
        check=False,
    )
    return done.returncode == 0


def as_notebook(page: Path) -> str:
    """Return a MyST page as the JSON of a notebook."""
    notebook = jupytext.read(page)
    # Without it ruff takes the cells for another language's and finds nothing, silently.
    notebook.metadata["language_info"] = {"name": "python"}
    return str(jupytext.writes(notebook, fmt="ipynb"))


def main(folder: str) -> int:
    """Lint every chapter under ``folder``; status 1 if ruff found anything.

    What is in a hidden folder is not the book's: JupyterLab keeps copies there.
    """
    found = [p.relative_to(folder) for p in sorted(Path(folder).rglob("*.md"))]
    own = [folder / p for p in found if not any(one.startswith(".") for one in p.parts)]
    pages = [p for p in own if CODE_CELL in p.read_text("utf-8")]
    is_clean = True
    for page in pages:
        name = str(page.with_suffix(".ipynb"))
        notebook = as_notebook(page)
        is_clean &= ruff(["check"], notebook, name)
        is_clean &= ruff(["format", "--diff"], notebook, name)
    print(f"chapters linted: {len(pages)}")
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
