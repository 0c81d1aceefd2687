"""Run every chapter that is out of date, several at once, into the cache that the book reads.

This is also the chapters' test: their assertions are cells, and a cell that fails ends the build.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_core.utils import ensure_event_loop

from .cachekey import cache_path
from .paths import BUILD, ROOT, BookError, chapters, settings

#: Caches of earlier states that are kept, so that undoing an edit costs nothing.
KEPT_CACHES = 4


@dataclass(frozen=True)
class Outcome:
    """How an execution went: pages that ran, pages found up to date, tracebacks of the others."""

    ran: int
    up_to_date: int
    failed: dict[Path, str]
    seconds: float

    def __str__(self) -> str:
        return (
            f"chapters: {self.ran} executed, {self.up_to_date} up to date, "
            f"{len(self.failed)} failed, {self.seconds:.1f} s"
        )


def environment() -> None:
    """Set what kernels inherit: they run for the book, from this interpreter, and quietly.

    They get an IPython profile of their own: start-up files in the user's home are not the book's.
    """
    profile = BUILD / "ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    quiet = {"IPKernelApp": {"log_level": logging.ERROR}}
    (profile / "ipython_kernel_config.json").write_text(json.dumps(quiet), encoding="utf-8")
    os.environ["IPYTHONDIR"] = str(profile.parent)
    os.environ["MEMSLOTS_BOOK"] = "1"
    # Chapters import figures/, which is part of the checkout but not of the installed package.
    os.environ["PYTHONPATH"] = str(ROOT)
    # A kernel of the same name in the user's home must not win over this environment's.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"


def run(cache: Path, pages: Sequence[Path]) -> Outcome:
    """Execute those of ``pages`` that ``cache`` does not hold; a failed page stays out of it."""
    from jupyter_cache import get_cache

    started = time.monotonic()
    environment()
    _forget_old_caches(cache)
    store = get_cache(cache)
    try:
        ran, failed = _run_stale(store, pages)
    finally:
        store.db.dispose()
    return Outcome(ran, len(pages) - ran - len(failed), failed, time.monotonic() - started)


def _run_stale(store: Any, pages: Sequence[Path]) -> tuple[int, dict[Path, str]]:
    """Execute what ``store`` does not hold; how many ran, and tracebacks of those that failed."""
    from jupyter_cache.executors import load_executor
    from jupyter_cache.executors.basic import ExecutionWorkerLocalSerial, ProcessData

    for page in pages:
        store.add_nb_to_project(str(page), read_data={"name": "myst_nb_md", "type": "plugin"})
    logger = _quiet_logger()
    stale = load_executor("local-serial", store, logger=logger).get_records(
        [str(page) for page in pages], clear_tracebacks=True
    )
    timeout = settings()["execute"]["timeout"]
    jobs = [ProcessData(record.pk, record.uri, store, timeout, False) for record in stale]
    ended = _all_at_once(ExecutionWorkerLocalSerial(logger), jobs, logger)
    failed = {
        Path(uri): _cell_and_error(store.get_project_record(uri).traceback)
        for status, uri in ended
        if status
    }
    return len(ended) - len(failed), failed


def _all_at_once(
    work: Callable[[Any], tuple[int, str]], jobs: Sequence[Any], logger: logging.Logger
) -> list[tuple[int, str]]:
    """Do the jobs, one thread each: every chapter computes in a kernel, a process of its own.

    Ctrl-C kills the kernels. jupyter-cache's own pool of processes would wait for ever instead: its
    workers are told to end by a signal that nbclient takes for its own purposes.
    """

    def one_job(job: Any) -> tuple[int, str]:
        # nbclient takes the loop that the thread already has, and closes none.
        with closing(ensure_event_loop()):
            return work(job)

    pool = ThreadPoolExecutor(os.cpu_count())
    doing = [pool.submit(one_job, job) for job in jobs]
    try:
        return [one.result() for one in doing]
    except BaseException:
        logger.disabled = True  # That a killed kernel died is no news.
        pool.shutdown(wait=False, cancel_futures=True)
        while not all(one.done() for one in doing):
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            wait(doing, timeout=0.1)
        raise
    finally:
        pool.shutdown()


def run_or_raise(cache: Path) -> Outcome:
    """Execute every chapter; BookError with each traceback when a cell of one fails."""
    outcome = run(cache, chapters())
    if outcome.failed:
        raise BookError("\n".join(_told(*failed) for failed in outcome.failed.items()))
    return outcome


def _told(page: Path, trace: str) -> str:
    """Return the page and its error in one line, then the traceback."""
    return f"{page.name}: a cell failed: {trace.splitlines()[-1]}\n{trace}"


def _quiet_logger() -> logging.Logger:
    """Return a logger that tells of broken workers alone: failed cells are ours to report."""
    logger = logging.getLogger("memslotlib.booktools.execute")
    logger.setLevel(logging.ERROR)
    return logger


def _cell_and_error(trace: str | None) -> str:
    """Return the part of nbclient's traceback that a chapter's author can use, without colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", trace or "no traceback: see the messages above")
    _, _, told = plain.rpartition("nbclient.exceptions.")
    return told.strip()


def _forget_old_caches(current: Path) -> None:
    if current.exists():
        os.utime(current)
    others = [p for p in current.parent.glob("*") if p.is_dir() and p != current]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for old in others[KEPT_CACHES - 1 :]:
        shutil.rmtree(old, ignore_errors=True)


def main() -> int:
    """Execute every chapter, say how it went, and return the exit status."""
    try:
        print(run_or_raise(cache_path()))
    except BookError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
