"""What an experiment is: something to run on this host, whose result becomes a record."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import evidence
from .errors import NotRunError
from .evidence import Record
from .provenance import code_digest, here_and_now

#: The facts of the host itself, and what it could not run; both with every run, whatever it is of.
HOST = "host"
NOT_RUN = "not-run"
HOSTS_FILE = "hosts.jsonl"


@dataclass(frozen=True)
class Measured:
    """What an experiment found: its counts, and every sample behind them."""

    result: Mapping[str, Any]
    samples: Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """One thing to run and record; ``code`` names the modules whose change makes it stale.

    ``shows`` are ids of the book that show it, besides the claims that it bears on. A ``quick`` one
    is run when there is little time. ``guest`` is the architecture of the code that it runs in a
    guest.
    """

    name: str
    parameters: Mapping[str, Any]
    file: str
    code: tuple[str, ...]
    measure: Callable[[Mapping[str, Any]], Measured]
    shows: tuple[str, ...] = ()
    quick: bool = False
    guest: str = "x86_64"

    @property
    def label(self) -> str:
        """One line that names it."""
        return evidence.label(self.name, self.parameters)

    @property
    def key(self) -> str:
        """What its records' ``key`` is."""
        return evidence.key(self.name, self.parameters)

    @property
    def digest(self) -> str:
        """What its records' ``code`` is as long as nobody changes it."""
        return code_digest(*self.code)

    def run(self) -> Record:
        """Run it now and return its record.

        Raises NotRunError when this host lacks what it needs.
        """
        if self.guest not in ("", platform.machine()):
            raise NotRunError(f"its guest is {self.guest} code; this host is {platform.machine()}")
        began = time.monotonic()
        measured = self.measure(self.parameters)
        return self.made(measured, round(time.monotonic() - began, 1))

    def record(self, folder: Path = evidence.DATA) -> Record:
        """Run it now and append its record to its file in ``folder``.

        Raises NotRunError when this host lacks what it needs; then nothing is written.
        """
        made = self.run()
        evidence.append(folder / self.file, made)
        return made

    def made(self, measured: Measured, seconds: float | None = None) -> Record:
        """Return what was measured just now as a record."""
        # Here, not above: reading records needs no host.
        from .host.describe import describe

        return Record(
            experiment=self.name,
            parameters=dict(self.parameters),
            result=dict(measured.result),
            samples=dict(measured.samples),
            provenance=here_and_now(describe().as_dict(), seconds=seconds),
            code=self.digest,
        )

    def not_run(self, reason: str) -> Record:
        """Return the record that says why this one gave no result: an experiment of its own."""
        parameters = {"experiment": self.name, "parameters": dict(self.parameters)}
        said = Measured({"reason": " ".join(reason.split())}, {})
        return Experiment(NOT_RUN, parameters, HOSTS_FILE, self.code, _facts).made(said)


def host_facts() -> Experiment:
    """Return what is recorded of a host before anything runs: what its KVM says that it can."""
    code = ("memslotlib.host.capabilities",)
    return Experiment(HOST, {}, HOSTS_FILE, code, _facts, guest="")


def _facts(_: Mapping[str, Any]) -> Measured:
    """Ask for every capability; without a usable KVM the reason takes their place."""
    from .host.capabilities import missing, probe

    reason = missing()
    found = {} if reason else {cap.name: value for cap, value in probe().items()}
    return Measured({"missing": reason, "capabilities": found}, {})
