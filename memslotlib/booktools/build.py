"""``python -m memslotlib.booktools.build``: the chapters executed, the site made, its path told.

Without options Jupyter Book 1 builds into ``_build/html``; ``--sphinx`` builds the same sources
with plain Sphinx, from the environment ``.venv-sphinx``, into ``_build/sphinx``.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from . import cachekey, execute, vendor
from .paths import BOOK, BUILD, HTML, ROOT, BookError

PLAIN_PYTHON = ROOT / ".venv-sphinx" / "bin" / "python"
PLAIN_HTML = BUILD / "sphinx"
#: Held by a build, shared by the tests that look at its pages.
LOCK = BUILD / ".lock"
#: Warnings are errors, references must resolve, and every problem is told before the build fails.
STRICT = ("-W", "-n", "--keep-going")
#: The exit status after Ctrl-C, as shells have it.
INTERRUPTED = 130


def build(*, plain: bool = False) -> Path:
    """Build the site and return its first page; BookError when anything is wrong with it."""
    with _alone():
        vendor.provide()
        cache = cachekey.cache_path()
        print(execute.run_or_raise(cache), flush=True)
        builder = _plain_sphinx() if plain else _jupyter_book()
        with _forgotten_unless_done(builder.memory):
            # Both builders tell what is wrong on stderr; their stdout is banners.
            environment = {**os.environ, cachekey.CHOSEN: str(cache)}
            name = Path(builder.command[0]).name
            if subprocess.run(
                builder.command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
            ).returncode:
                raise BookError(f"the book was not built: see the messages of {name}")
    return builder.html / "index.html"


class Builder(NamedTuple):
    """A program that makes the site, the folder it makes, and what it keeps for the next time."""

    command: list[str]
    html: Path
    memory: Path


def _jupyter_book() -> Builder:
    program = str(Path(sys.executable).with_name("jupyter-book"))
    return Builder([program, "build", "-q", *STRICT, str(BOOK)], HTML, BUILD / ".doctrees")


def _plain_sphinx() -> Builder:
    if not PLAIN_PYTHON.exists():
        raise BookError(
            f"{PLAIN_PYTHON.relative_to(ROOT)} is missing: make it with `python3 -m venv "
            ".venv-sphinx`, then its pip: install --require-hashes -r requirements/sphinx.txt, "
            "and install --no-deps -e ."
        )
    memory = BUILD / ".doctrees-sphinx"
    options = ["-q", *STRICT, "-c", str(BOOK / "_plain"), "-d", str(memory)]
    command = [str(PLAIN_PYTHON), "-m", "sphinx", *options, str(BOOK), str(PLAIN_HTML)]
    return Builder(command, PLAIN_HTML, memory)


@contextmanager
def _forgotten_unless_done(memory: Path) -> Iterator[None]:
    """Let Sphinx remember only a build that succeeded.

    It tells what is wrong with a page only when it makes it, so a page that a failed or a killed
    build has made would pass the next time.
    """
    unfinished = memory.with_suffix(".unfinished")
    if unfinished.exists():
        shutil.rmtree(memory, ignore_errors=True)
    unfinished.touch()
    yield
    unfinished.unlink()


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the build folder: a second build of the same checkout waits for the first."""
    BUILD.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                "the pages of this checkout are in use, by a build or by tests: waiting", flush=True
            )
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, tell the path of the first page, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m memslotlib.booktools.build")
    parser.add_argument("--sphinx", action="store_true", help="plain Sphinx, into _build/sphinx")
    options = parser.parse_args(arguments)
    os.chdir(ROOT)
    started = time.monotonic()
    try:
        index = build(plain=options.sphinx)
    except BookError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    print(f"the book is at {index} ({time.monotonic() - started:.1f} s)")
    return 0


if __name__ == "__main__":
    status = main()
    if status == INTERRUPTED:
        sys.stdout.flush()
        # Without exit hooks: nbclient's would complain of the kernels that were killed.
        os._exit(status)
    sys.exit(status)
