"""Evidence records: what a run showed, on which host, with which code; append-only JSON Lines.

A record is data: nothing in it is executed or used as a path. Each line carries a digest of itself,
so a damaged line is named and refused, never skipped. A record whose experiment's code has changed
since is *stale*: pages show it marked, and only ``make evidence`` replaces it.

What a later version adds to a record is optional and keeps the schema's number; what changes the
meaning of something that is there raises it.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from .errors import MemslotError
from .provenance import ROOT, Provenance

SCHEMA = 1
#: Where the project's own records live.
DATA = ROOT / "figures" / "data"

#: What a line has to hold, and of which kind; and what it may, in its provenance, besides.
_RECORD = {
    "experiment": str,
    "code": str,
    "schema": int,
    "parameters": dict,
    "result": dict,
    "samples": dict,
    "provenance": dict,
}
_PROVENANCE = {
    "commit": str,
    "dirty": bool,
    "version": str,
    "date": str,
    "python": str,
    "host_kind": str,
    "host": dict,
}
_PROVENANCE_LATER = {"machine": str, "load": list, "seconds": float}


class EvidenceError(MemslotError, ValueError):
    """A record cannot be trusted; the text names the file, the line and what is wrong."""


class _StrangeError(EvidenceError):
    """A line of something else: no JSON, or no object."""


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
    def key(self) -> str:
        """What was run: equal for two runs of the same experiment."""
        return key(self.experiment, self.parameters)

    @property
    def label(self) -> str:
        """What was run, in one line."""
        return label(self.experiment, self.parameters)

    def line(self) -> str:
        """Return the record as one line of JSON that carries its own digest."""
        made = vars(self.provenance)
        noted = {name: value for name, value in made.items() if value is not None}
        body = {**vars(self), "provenance": noted}
        return _canonical({**body, "digest": _digest(body)})


def key(experiment: str, parameters: Mapping[str, Any]) -> str:
    """Return a string that is equal for two runs of one experiment, and for no others."""
    return _canonical({"experiment": experiment, "parameters": parameters})


def label(experiment: str, parameters: Mapping[str, Any]) -> str:
    """Return an experiment and its parameters in one line.

    >>> label("dirty-log+store", {"api": "move", "held": False, "updates": 20})
    'dirty-log+store (move, not held, 20)'
    """
    said = [
        ("" if value else "not ") + name if isinstance(value, bool) else str(value)
        for name, value in sorted(parameters.items())
    ]
    return f"{experiment} ({', '.join(said)})" if said else experiment


def append(path: Path, *records: Record) -> None:
    """Add records to ``path``: all of them or none, even when the process is killed here.

    The file is checked first: EvidenceError when a line of it is damaged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        # Whoever was killed while it wrote has left its temporary file.
        for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
            left.unlink(missing_ok=True)
        before = _text(path)
        parsed(before, path.name)
        write_whole(path, before + "".join(f"{record.line()}\n" for record in records))


def read(path: Path) -> list[Record]:
    """Return the records of ``path``, oldest first; none when there is no such file.

    Raises EvidenceError as :func:`parsed` does.
    """
    return parsed(_text(path), path.name)


def parsed(text: str, name: str) -> list[Record]:
    """Return the records that the text of a file holds; ``name`` is what an error calls the file.

    Raises EvidenceError naming each line that does not parse, whose digest does not fit, that lacks
    something or has something of the wrong kind, whose schema is not this one's, or that was cut;
    neighbours that are wrong in the same way are named together. Of a file of something
    else it names the first.
    """
    # Not splitlines(): it would cut a record at a line separator inside one of its strings.
    *lines, rest = text.split("\n")
    records, damaged, strange = [], dict[int, str](), 0
    for number, line in enumerate(lines, 1):
        try:
            records.append(_record(line))
        except EvidenceError as error:
            damaged[number] = str(error)
            strange += isinstance(error, _StrangeError)
    if rest:
        damaged[len(lines) + 1] = "the last line was cut"
    if strange > 1 and strange == len(lines):
        raise EvidenceError(f"{name}:1: {damaged[1]}; nor is any other line a record")
    if damaged:
        raise EvidenceError("\n".join(_named(name, damaged)))
    return records


def _named(name: str, damaged: Mapping[int, str]) -> Iterator[str]:
    """Yield what is wrong with lines: where neighbours are wrong in the same way, once for them."""
    # What is wrong with neighbours stays the same, and so does a number less its place.
    runs = groupby(enumerate(damaged.items()), lambda one: (one[1][1], one[1][0] - one[0]))
    for (said, _), run in runs:
        numbers = [number for _, (number, _) in run]
        last = f"-{numbers[-1]}" if len(numbers) > 1 else ""
        yield f"{name}:{numbers[0]}{last}: {said}"


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


def decoded(raw: bytes, name: str) -> str:
    """Return the text of a file called ``name``; EvidenceError with the line where it is none."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise EvidenceError(f"{name}:{line}: not UTF-8: {error.reason}") from error


def _text(path: Path) -> str:
    """Return what the file holds; nothing when there is none."""
    return decoded(path.read_bytes(), path.name) if path.exists() else ""


def _record(line: str) -> Record:
    if not line.strip():
        raise _StrangeError("an empty line")
    try:
        body = json.loads(line, parse_constant=_no_number)
        written = body.pop("digest", None) if isinstance(body, dict) else None
        digest = _digest(body)
    except (ValueError, RecursionError) as error:
        raise _StrangeError(f"not JSON: {error}") from error
    if not isinstance(body, dict):
        raise _StrangeError(f"a record is a JSON object, not {type(body).__name__}")
    if written != digest:
        raise EvidenceError(f"its digest is {written}, its content's is {digest}")
    if body.get("schema") != SCHEMA:
        raise EvidenceError(_other_schema(body.get("schema")))
    _check_kinds(body, _RECORD, {})
    _check_kinds(body["provenance"], _PROVENANCE, _PROVENANCE_LATER)
    record = Record(**{**body, "provenance": Provenance(**body["provenance"])})
    # Two lines that say the same are the same: spaces, other orders and doubled names are refused.
    if record.line() == line:
        return record
    if record.line() == line.removesuffix("\r"):
        raise EvidenceError(
            "ends in a carriage return, as some programs leave a text; take it away"
        )
    raise EvidenceError("not written as this program writes a record")


def _other_schema(schema: object) -> str:
    """Return why a record of another schema is not read, and what helps."""
    if type(schema) is not int:
        return f"schema {schema!r} is none; this version reads {SCHEMA}"
    if schema > SCHEMA:
        return f"schema {schema} is of a later version, this one reads {SCHEMA}: take that version"
    return f"schema {schema} is of an earlier version, this one reads {SCHEMA}: record it again"


def _check_kinds(
    body: Mapping[str, Any], needed: Mapping[str, type], later: Mapping[str, type]
) -> None:
    if lacking := sorted(needed.keys() - body.keys()):
        raise EvidenceError(f"lacks {', '.join(lacking)}")
    for name, value in body.items():
        kind = needed.get(name, later.get(name))
        if kind is None:
            raise EvidenceError(f"has {name!r}, which this version does not know; a later one may")
        # Not isinstance: True is no number here.
        if type(value) is not kind:
            raise EvidenceError(f"{name} is of type {type(value).__name__}, not {kind.__name__}")


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _canonical(body: Mapping[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(body).encode()).hexdigest()[:16]
