"""Chapters run once for each state of the library, and one that fails is reported by its page."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from memslotlib.booktools import execute
from memslotlib.booktools.paths import BookError, chapters

PAGE = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A page

```{code-cell}
CODE
```
"""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MEMSLOTS_BOOK", "IPYTHONDIR", "JUPYTER_PREFER_ENV_PATH"):
        monkeypatch.delenv(name, raising=False)  # put back what the execution sets
    folder = tmp_path / "book"
    folder.mkdir()
    return folder


def _page(book: Path, name: str, code: str) -> Path:
    path = book / name
    path.write_text(PAGE.replace("CODE", code))
    return path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of jupyter-cache and what it imports
def test_good_page_is_cached_and_bad_page_is_reported(book: Path) -> None:
    code = "import os\nassert os.environ['MEMSLOTS_BOOK'] == '1'\nprint(6 * 7)"
    pages = [_page(book, "good.md", code), _page(book, "bad.md", "assert 6 * 9 == 42, 'no'")]
    cache = book.parent / "caches" / "one"

    first = execute.run(cache, pages)
    second = execute.run(cache, pages[:1])

    assert (first.ran, first.up_to_date, list(first.failed)) == (1, 0, [pages[1]])
    told = first.failed[pages[1]]
    assert "assert 6 * 9 == 42" in told
    assert "AssertionError: no" in told
    assert "\x1b" not in told
    assert (second.ran, second.up_to_date, second.failed) == (0, 1, {})
    assert any("42" in nb.read_text() for nb in cache.rglob("*.ipynb"))


ENDLESS = """
import os
import pathlib
import subprocess
child = subprocess.Popen(["sleep", "300"])
pathlib.Path("pids.partial").write_text(f"{os.getpid()} {child.pid}")
pathlib.Path("pids.partial").rename("pids")
child.wait()
"""


@pytest.mark.slow
def test_ctrl_c_ends_a_chapter_s_kernel_and_what_it_started(book: Path) -> None:
    page = _page(book, "endless.md", ENDLESS)
    cache = book.parent / "caches" / "one"
    code = (
        "from pathlib import Path; from memslotlib.booktools import execute;"
        f"execute.run(Path({str(cache)!r}), [Path({str(page)!r})])"
    )
    build = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    try:
        pids = _awaited(book / "pids").read_text().split()
        build.send_signal(signal.SIGINT)
        _, told = build.communicate(timeout=60)
    finally:
        build.kill()
        build.wait()

    assert told.rstrip().endswith(b"KeyboardInterrupt")
    assert len(pids) == 2
    assert not any(_runs(int(pid)) for pid in pids)


def _runs(pid: int) -> bool:
    """Tell whether a process runs; one that is dead may still wait for somebody to notice."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _awaited(path: Path) -> Path:
    """Wait for a file, within reason."""
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return path


def test_failed_page_ends_the_build_with_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outcome = execute.Outcome(0, 1, {tmp_path / "q0.md": "AssertionError: no"}, 1.0)
    monkeypatch.setattr(execute, "run", lambda cache, pages: outcome)

    with pytest.raises(BookError) as caught:
        execute.run_or_raise(tmp_path)
    assert str(caught.value) == "q0.md: a cell failed: AssertionError: no\nAssertionError: no"


def test_outcome_reads_as_one_line() -> None:
    outcome = execute.Outcome(2, 3, {}, 4.25)

    assert str(outcome) == "chapters: 2 executed, 3 up to date, 0 failed, 4.2 s"


def test_old_caches_are_kept_to_a_few(tmp_path: Path) -> None:
    import os

    folders = [tmp_path / str(number) for number in range(7)]
    for age, folder in enumerate(folders):
        folder.mkdir()
        os.utime(folder, (1_000_000 - age, 1_000_000 - age))

    execute._forget_old_caches(folders[6])

    left = sorted(int(path.name) for path in tmp_path.iterdir())
    assert left == [0, 1, 2, 6]


def test_only_pages_with_code_are_chapters(book: Path) -> None:
    page = _page(book, "q0.md", "1")
    (book / "intro.md").write_text("# Text alone\n")

    assert chapters(book) == [page]


def test_no_chapter_imports_the_rooms_that_make_the_book() -> None:
    # The cache's key leaves booktools out on this condition.
    for page in chapters():
        assert "booktools" not in page.read_text(encoding="utf-8"), page.name
