"""``python -m memslotlib.booktools.lab``: JupyterLab on the chapters, which open as notebooks."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .paths import BOOK, BUILD, ROOT, BookError


def command(program: Path, arguments: Sequence[str]) -> list[str]:
    """Return JupyterLab's command line; BookError when this environment has no JupyterLab."""
    if not program.exists():
        raise BookError(f"{program} is missing: `make notebooks` installs JupyterLab first")
    return [str(program), f"--ServerApp.root_dir={BOOK}", *arguments]


def environment(inherited: dict[str, str]) -> dict[str, str]:
    """Return JupyterLab's environment: the settings of ``.jupyter``, kernels of this environment.

    MEMSLOTS_BOOK is not passed on: a reader's notebook is not a build of the book.
    """
    kept = {name: value for name, value in inherited.items() if name != "MEMSLOTS_BOOK"}
    paths = [str(ROOT / ".jupyter"), inherited.get("JUPYTER_CONFIG_PATH", "")]
    kept["JUPYTER_CONFIG_PATH"] = os.pathsep.join(path for path in paths if path)
    kept["JUPYTER_PREFER_ENV_PATH"] = "1"
    # Which tabs are open is this checkout's matter, not one of the reader's other work.
    kept["JUPYTERLAB_WORKSPACES_DIR"] = str(BUILD / "lab")
    # Chapters import figures/, which is part of the checkout but not of the installed package.
    kept["PYTHONPATH"] = str(ROOT)
    return kept


def main(arguments: Sequence[str]) -> NoReturn:
    """Become JupyterLab; ``arguments`` are its own."""
    try:
        line = command(Path(sys.executable).with_name("jupyter-lab"), arguments)
    except BookError as error:
        sys.exit(str(error))
    os.execve(line[0], line, environment(dict(os.environ)))


if __name__ == "__main__":
    main(sys.argv[1:])
