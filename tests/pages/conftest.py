"""The built site, served from loopback, and one browser."""

from __future__ import annotations

import fcntl
import functools
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pages.browsing import CHROMIUM, FLAGS, SITE, Record, Visitor, pages
from playwright.sync_api import Browser, Page, sync_playwright

from memslotlib.booktools import build


@pytest.fixture(scope="session")
def site() -> Iterator[Path]:
    """Return the folder of the built site, which no build changes while it is looked at."""
    if not (SITE / "index.html").exists():
        pytest.skip(f"{SITE} holds no built book: run `make book`")
    with build.LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield SITE


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def base_address(site: Path) -> Iterator[str]:
    """Serve the site from loopback; return its address without a slash at the end."""
    handler = functools.partial(_Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the system's Chromium."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(CHROMIUM)} is installed")
    with sync_playwright() as tool:
        running = tool.chromium.launch(executable_path=program, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def visitor(browser: Browser, base_address: str) -> Visitor:
    """Return a visitor of the site."""
    return Visitor(browser, base_address)


@pytest.fixture(scope="module", params=pages())
def opened(request: pytest.FixtureRequest, visitor: Visitor) -> Iterator[tuple[Page, Record]]:
    """Open each page once, as most readers see it, for all the tests that only look."""
    with visitor.visit(request.param) as tab_and_record:
        yield tab_and_record
