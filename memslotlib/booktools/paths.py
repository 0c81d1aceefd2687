"""Where the book's sources and products are, and the settings that both builders read."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from ..errors import MemslotError

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
CONFIG = ROOT / "_config.yml"
BUILD = ROOT / "_build"
HTML = BUILD / "html"
NODE_MODULES = ROOT / "node_modules"


class BookError(MemslotError):
    """The book cannot be built; the text says what is wrong, where, and what to do."""


@lru_cache(maxsize=1)
def settings() -> dict[str, Any]:
    """Return ``_config.yml`` as it stands."""
    loaded: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    return loaded


def chapters(book: Path = BOOK) -> list[Path]:
    """Return the pages that hold code to execute, in the order of their names."""
    pages = sorted(book.glob("*.md"))
    return [page for page in pages if "{code-cell}" in page.read_text(encoding="utf-8")]
