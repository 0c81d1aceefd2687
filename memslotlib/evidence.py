"""Evidence records: what a run showed, on which host, with which code; append-only JSON Lines.

A record is data and nothing in it is executed. Each line carries a digest of itself, so a damaged
line is named and refused, never skipped. A record whose experiment's code has changed since is
*stale*: pages show it marked, and only ``make evidence`` replaces it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .errors import MemslotError
from .provenance import ROOT, Provenance

SCHEMA = 1
#: Where the project's own records live.
DATA = ROOT / "figures" / "data"


class EvidenceError(MemslotError, ValueError):
    """A record cannot be trusted; the text names the file, the line and what is wrong."""


@dataclass(frozen=True)
class Record:
    """One run of one experiment.

    ``experiment`` names it and ``parameters`` is everything needed to run it again; ``result``
    holds its counts and ``samples`` every raw measurement or full histogram. ``code`` is
    :func:`.provenance.code_digest` of the experiment at the time.
    """

    experiment: str
    parameters: Mapping[str, Any]
    result: Mapping[str, Any]
    provenance: Provenance
    code: str
    samples: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def is_stale(self, code: str) -> bool:
        """Tell whether the experiment's code has changed since this record was made."""
        return self.code != code

    @property
    def summary(self) -> str:
        """The result in one line."""
        return ", ".join(f"{name} {value}" for name, value in self.result.items() if value != {})

    def line(self) -> str:
        """Return the record as one line of JSON that carries its own digest."""
        body = asdict(self)
        return _canonical({**body, "digest": _digest(body)})


def append(path: Path, record: Record) -> None:
    """Add one record to ``path``: the whole line or nothing, even when the process dies here.

    The file is checked first: EvidenceError when a line of it is damaged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        before = _text(path)
        for _ in _parse(before, path):
            pass
        write_whole(path, before + record.line() + "\n")


def read(path: Path) -> list[Record]:
    """Return the records of ``path``, oldest first; none when there is no such file.

    Raises EvidenceError naming the line when it does not parse, its digest does not fit, its schema
    is not this one's, or the last line was cut.
    """
    return list(_parse(_text(path), path))


def newest(records: list[Record], experiment: str, **parameters: Any) -> Record | None:
    """Return the last record of ``experiment`` whose parameters include those given, if any."""
    for record in reversed(records):
        same = all(record.parameters.get(key) == value for key, value in parameters.items())
        if record.experiment == experiment and same:
            return record
    return None


def write_whole(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` through a temporary file beside it: all of it or nothing."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        # Ctrl-C included: no temporary file stays behind.
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the file itself is replaced, so a lock on it would guard nothing."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _text(path: Path) -> str:
    """Return what the file holds; nothing when there is none, EvidenceError when it is no text."""
    raw = path.read_bytes() if path.exists() else b""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise EvidenceError(f"{path.name}:{line}: not UTF-8: {error.reason}") from error


def _parse(text: str, path: Path) -> Iterator[Record]:
    if text and not text.endswith("\n"):
        last = text.count("\n") + 1
        raise EvidenceError(f"{path.name}:{last}: the last line was cut")
    # Not splitlines(): it would cut a record at a line separator inside one of its strings.
    for number, line in enumerate(text.split("\n")[:-1], 1):
        yield _record(line, f"{path.name}:{number}")


def _record(line: str, where: str) -> Record:
    try:
        body = json.loads(line)
    except ValueError as error:
        raise EvidenceError(f"{where}: not JSON: {error}") from error
    if not isinstance(body, dict):
        raise EvidenceError(f"{where}: a record is a JSON object, not {type(body).__name__}")
    digest = body.pop("digest", None)
    if digest != _digest(body):
        raise EvidenceError(f"{where}: its digest is {digest}, its content's is {_digest(body)}")
    if body["schema"] != SCHEMA:
        raise EvidenceError(f"{where}: schema {body['schema']}, this version reads {SCHEMA}")
    return Record(**{**body, "provenance": Provenance(**body["provenance"])})


def _canonical(body: Mapping[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(body).encode()).hexdigest()[:16]
