"""Records that somebody sent: read with distrust, stored with where they come from.

A digest shows that a line is whole, not that it is true; so a line is also held against what a run
can say at all. What is stored goes into a file that is named by a digest, under ``imported``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import evidence
from .errors import MemslotError
from .evidence import DATA, EvidenceError, Record
from .experiment import HOST, NOT_RUN
from .hosts import (
    IMPORT,
    IMPORTED,
    IMPORTS_FILE,
    Recorded,
    by_host,
    hosts,
    outcomes,
    plain,
    records_in,
)
from .provenance import code_digest, here_and_now
from .verdict import Verdict

#: More than a full set of records takes; what is larger is not read.
SIZE_MAX_BYTES = 16_000_000

#: What reading a result that no run can have comes to.
_NO_RUN_SAYS = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    MemslotError,
)
#: What a comparison needs to be told where a name means several hosts.
_ONE = "have to be one: name a file with the records of one"
_FACTS = {"kernel": str, "module": str, "cpu": str, "out_of_tree": bool, "parameters": dict}


@dataclass(frozen=True)
class Accepted:
    """What an import stored: how many new records of each host, and how many were there already."""

    new: Mapping[str, int]
    known: int


def read_sent(path: Path) -> list[Record]:
    """Return the records of a file that anybody may have written, oldest first.

    Raises EvidenceError naming every line that is damaged or that says what no run can say,
    MemslotError when it is too large or holds nothing.
    """
    return _records(_bytes(path), path.name)


def accept(path: Path, source: str = "", folder: Path = DATA) -> Accepted:
    """Store the records of a file that somebody sent; ``source`` tells from where it comes.

    All of a host's or none, and none of any when the file is refused: raises as :func:`read_sent`
    does. A record that is under ``folder`` already is not stored again, so that an import that was
    stopped is made again.
    """
    raw = _bytes(path)
    records = _records(raw, path.name)
    here = {one.line() for one in (*records_in(folder), *records_in(folder / IMPORTED))}
    fresh = list({line: one for one in records if (line := one.line()) not in here}.values())
    new = {host.id: host.records for host in by_host(fresh)}
    accepted = Accepted({name: len(made) for name, made in new.items()}, len(records) - len(fresh))
    if fresh:
        # First: no record is ever there without where it comes from.
        evidence.append(folder / IMPORTS_FILE, _mark(raw, source or path.name, accepted))
    for identity, made in new.items():
        evidence.append(stored(identity, folder), *made)
    return accepted


def stored(identity: str, folder: Path = DATA) -> Path:
    """Return where the records of an imported host are; ``identity`` is a digest, and no name."""
    return folder / IMPORTED / f"{identity}.jsonl"


def hosts_of(path: Path) -> list[Recorded]:
    """Return the hosts whose records a file holds; raises as :func:`read_sent` does."""
    return by_host(read_sent(path), plain(path.name))


def find(name: str, folder: Path = DATA) -> Recorded:
    """Return the host that ``name`` means: the one of a file or folder, or by its id's start.

    Raises MemslotError with the choices unless it is exactly one, and as :func:`read_sent` does.
    """
    path = Path(name)
    if path.is_file():
        found, where = hosts_of(path), f"hosts in this file, which {_ONE}"
    elif path.is_dir():
        found, where = hosts(path), f"hosts in this folder, which {_ONE}"
    else:
        known = hosts(folder)
        found = [one for one in known if one.id.startswith(name)]
        where = f"hosts whose ids begin so, which {_ONE}"
        if not found:
            raise MemslotError(
                f"{name}: no file or folder here, and no host's id begins so; {_listed(known)}"
            )
    if len(found) != 1:
        raise MemslotError(f"{name}: {len(found)} {where}; {_listed(found)}")
    return found[0]


def _listed(known: Iterable[Recorded]) -> str:
    told = "; ".join(f"{one.id}: {one.label}{_sender(one)}" for one in known)
    return f"there are {told}" if told else "there are none"


def _sender(one: Recorded) -> str:
    return f", from {one.origin}" if one.origin else ""


def _bytes(path: Path) -> bytes:
    """Return what a file holds, which is read once: it may change, or be a pipe."""
    with path.open("rb") as file:
        raw = file.read(SIZE_MAX_BYTES + 1)
    if len(raw) > SIZE_MAX_BYTES:
        raise MemslotError(f"{path.name}: more than {SIZE_MAX_BYTES:,} bytes")
    return raw


def _records(raw: bytes, name: str) -> list[Record]:
    records = evidence.parsed(evidence.decoded(raw, name), name)
    wrong = [
        f"{name}:{number}: {flaw}"
        for number, record in enumerate(records, 1)
        if (flaw := _flaw(record))
    ]
    if wrong:
        raise EvidenceError("\n".join(wrong))
    if not records:
        raise MemslotError(f"{name}: no records here")
    return records


def _mark(raw: bytes, source: str, accepted: Accepted) -> Record:
    """Return the record of an import: from where which bytes come, and what of them was new."""
    # Here, not above: reading records needs no host.
    from .host.describe import describe

    return Record(
        experiment=IMPORT,
        parameters={"from": source, "sha256": hashlib.sha256(raw).hexdigest()},
        result={"hosts": dict(accepted.new), "known": accepted.known},
        provenance=here_and_now(describe().as_dict()),
        code=code_digest("memslotlib.evidence"),
    )


def _flaw(record: Record) -> str:
    """Return what a record says that no run can say, or nothing."""
    host, load = record.provenance.host, record.provenance.load
    for name, kind in _FACTS.items():
        if type(host.get(name)) is not kind:
            return f"its host's {name} is no {kind.__name__}"
    if any(type(one) is not float for one in load or ()):
        return f"its load is no numbers: {load}"
    if record.experiment == IMPORT:
        return "an import tells of a checkout's own files, and is not sent on"
    try:
        _check_result(record)
    except _NO_RUN_SAYS as error:
        return f"its result is none of {record.experiment!r}: {error or type(error).__name__}"
    return ""


def _check_result(record: Record) -> None:
    if record.experiment == HOST:
        _check_all(str, [record.result["missing"], *record.result["capabilities"]])
        _check_all(int, record.result["capabilities"].values())
    elif record.experiment == NOT_RUN:
        _check_all(str, [record.parameters["experiment"], record.result["reason"]])
        _check_all(dict, [record.parameters["parameters"]])
    else:
        found = [one for one in outcomes(record).values() if isinstance(one, Verdict)]
        # A count is a whole number, and True is none.
        _check_all(int, (n for one in found for n in (one.hits, one.trials, one.opportunities)))


def _check_all(kind: type, values: Iterable[Any]) -> None:
    for value in values:
        if type(value) is not kind:
            raise TypeError(f"{value!r} is no {kind.__name__}")
