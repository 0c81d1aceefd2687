"""A visitor of the built site: a browser that reaches nothing else, and a record of what it did."""

from __future__ import annotations

import functools
import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Response,
    Route,
    ViewportSize,
)

ROOT = Path(__file__).resolve().parents[2]
#: ``_build/html`` unless the environment names another build of the same book.
SITE = ROOT / os.environ.get("MEMSLOTS_SITE", "_build/html")
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",  # CI runs as root, where Chromium refuses to start with it
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 360, "height": 740}


def pages() -> list[str]:
    """Return the pages of the site as addresses relative to it."""
    return sorted(path.name for path in SITE.glob("*.html"))


@dataclass
class Record:
    """What the browser did while one page was open."""

    blocked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def compressed_sizes(self) -> dict[str, int]:
        """Bytes of every file that was loaded, as a compressing server would send it."""
        paths = {unquote(urlsplit(url).path).lstrip("/") for url in self.loaded}
        return {path: len(gzip.compress((SITE / path).read_bytes(), 6)) for path in sorted(paths)}


@dataclass(frozen=True)
class Visitor:
    """Opens pages of the site, with all but loopback blocked, and records what happens."""

    browser: Browser
    address: str

    @contextmanager
    def visit(
        self,
        page: str,
        *,
        viewport: ViewportSize = DESKTOP,
        scheme: Literal["light", "dark"] = "light",
        scripts: bool = True,
    ) -> Iterator[tuple[Page, Record]]:
        """Open ``page`` and wait until it is loaded, idle, and its charts are drawn."""
        record = Record()
        with self.browser.new_context(
            viewport=viewport, color_scheme=scheme, java_script_enabled=scripts
        ) as context:
            context.route("**/*", functools.partial(_gate, record))
            tab = context.new_page()
            _listen(tab, record)
            tab.goto(f"{self.address}/{page}", wait_until="networkidle")
            if scripts:
                tab.wait_for_function(
                    "() => [...document.querySelectorAll('.memslots-chart')]"
                    ".every(c => c.dataset.drawn || c.dataset.failed)"
                )
            yield tab, record


def _gate(record: Record, route: Route) -> None:
    url = urlsplit(route.request.url)
    if url.hostname == "127.0.0.1" or url.scheme in {"data", "blob"}:
        route.continue_()
    else:
        record.blocked.append(route.request.url)
        route.abort()


def _listen(tab: Page, record: Record) -> None:
    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            record.complaints.append(message.text)

    def on_response(response: Response) -> None:
        if response.status >= 400:
            record.failures.append(f"{response.status} {response.url}")
        elif response.url.startswith("http"):
            record.loaded.append(response.url)

    tab.on("console", on_console)
    tab.on("pageerror", lambda error: record.complaints.append(str(error)))
    tab.on("requestfailed", lambda request: record.failures.append(f"failed {request.url}"))
    tab.on("response", on_response)
