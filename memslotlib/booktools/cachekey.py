"""The name of the cache that a chapter's outputs may come from.

jupyter-cache compares a chapter's code cells alone, so it would publish numbers of an older
library. Hence one cache for each state of everything that a cell can import or read, named by its
digest.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from . import host
from .paths import BUILD, ROOT

#: Every cache is kept under this folder; Sphinx must not read it as source.
CACHES = BUILD / ".jupyter_cache"
#: What a cell can import or read. ``booktools`` is left out: no chapter imports it.
SOURCES = ("memslotlib", "kvm", "figures", "book/claims", "requirements")
#: How a build tells the Sphinx that it starts which cache it has filled.
CHOSEN = "MEMSLOTS_BOOK_CACHE"
_DERIVED = {".pyc", ".so", ".o", ".lock"}


def cache_path(root: Path = ROOT, surroundings: str | None = None) -> Path:
    """Return the cache folder that fits the sources under ``root`` and their surroundings."""
    return CACHES / digest(root, describe_surroundings() if surroundings is None else surroundings)


def chosen_cache() -> Path:
    """Return the cache that this build filled (it names it to Sphinx), else the one that fits.

    Named once, it stays the same for a build even when a source is edited under it.
    """
    return Path(os.environ[CHOSEN]) if CHOSEN in os.environ else cache_path()


def describe_surroundings() -> str:
    """Return what else an output depends on: Python, the kernel, the way to /dev/kvm."""
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{python}; {host.kernel()}; {host.kvm_module()}; {host.backend()}"


def digest(root: Path, surroundings: str) -> str:
    """Return 16 hexadecimal digits that change with any source's name or content."""
    whole = hashlib.sha256(surroundings.encode())
    for path in _sources(root):
        name = path.relative_to(root).as_posix().encode()
        whole.update(b"%d %s %d " % (len(name), name, path.stat().st_size))
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def _sources(root: Path) -> Iterator[Path]:
    for folder in SOURCES:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and not _is_left_out(path.relative_to(root)):
                yield path


def _is_left_out(path: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts)
    return hidden or path.suffix in _DERIVED or path.parts[:2] == ("memslotlib", "booktools")
