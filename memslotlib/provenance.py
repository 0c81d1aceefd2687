"""Where a result comes from: the commit, the host, and a digest of the code that made it."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from . import __version__

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Provenance:
    """Where a record comes from: code, moment and host. ``host_kind`` is ``native`` or ``lab``.

    ``machine`` is the architecture, ``load`` the load averages of 1, 5 and 15 minutes when the run
    had ended, ``seconds`` how long it took. Each is None where nobody noted it: records are older
    than these three.
    """

    commit: str
    dirty: bool
    version: str
    date: str
    python: str
    host_kind: str
    host: Mapping[str, Any]
    machine: str | None = None
    load: Sequence[float] | None = None
    seconds: float | None = None

    @property
    def host_id(self) -> str:
        """Eight digits that stand for the host: the digest of what is known of it.

        Another kernel is another host, and so is another parameter of its module. Whether this
        user may open ``/dev/kvm`` is no part of it.
        """
        facts = {name: value for name, value in self.host.items() if name != "kvm"}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]


def here_and_now(
    host: Mapping[str, Any], host_kind: str = "native", seconds: float | None = None
) -> Provenance:
    """Return the provenance of a run that ends now, in this checkout, on ``host``."""
    commit, dirty = revision()
    return Provenance(
        commit=commit,
        dirty=dirty,
        version=__version__,
        date=datetime.now(UTC).replace(microsecond=0).isoformat(),
        python=".".join(map(str, sys.version_info[:3])),
        host_kind=host_kind,
        host=dict(host),
        machine=platform.machine(),
        load=[round(load, 2) for load in os.getloadavg()],
        seconds=seconds,
    )


def revision(root: Path = ROOT) -> tuple[str, bool]:
    """Return the commit of the checkout and whether tracked files differ from it.

    Outside a git checkout (a wheel, a tarball): ``("unversioned", True)``. The records themselves
    do not count as a difference: recording must not make the next record look dirty.
    """
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        status = _git(root, "status", "--porcelain", "-uno", "--", ".", ":!figures/data")
    except (OSError, subprocess.CalledProcessError):
        return "unversioned", True
    return commit, bool(status)


def code_digest(*modules: str) -> str:
    """Return a digest of the code that ``modules`` can reach inside this project.

    It covers each module, every module of the project that those import, and the native sources
    where they are among them. Comments, docstrings and layout do not count: only a change
    that could change a result makes a record stale.
    """
    return _code_digest(frozenset(modules))


@lru_cache(maxsize=64)
def _code_digest(modules: frozenset[str]) -> str:
    paths = _closure(modules)
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.relative_to(ROOT).as_posix().encode())
        digest.update(_meaning(path))
    return digest.hexdigest()[:16]


def _closure(modules: frozenset[str]) -> set[Path]:
    """Return the source files that ``modules`` import from this project, themselves included."""
    found: set[Path] = set()
    waiting = sorted(modules)
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if path is None or path in found:
            continue
        found.add(path)
        waiting += _imports(name, path)
    if any(path.name == "engine_native.py" for path in found):
        found |= set((ROOT / "memslotlib" / "check").glob("_walker*.[ch]"))
    if any(path.parent.name == "host" for path in found):
        found |= {p for p in (ROOT / "kvm").rglob("*") if p.suffix in {".c", ".h", ".py", ".S"}}
    return found


def _source(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path
    return None


def _imports(module: str, path: Path) -> Iterator[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            up = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*up, node.module] if node.module else up)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _meaning(path: Path) -> bytes:
    text = path.read_bytes()
    if path.suffix != ".py":
        return text
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            # An empty body is no statement list: a docstring alone stands for `pass`.
            body[:] = body[1:] or [ast.Pass()]
    return ast.dump(tree).encode()


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _git(root: Path, *arguments: str) -> str:
    run = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
    )
    return run.stdout.strip()
