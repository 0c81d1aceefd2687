"""An entry of the registry: two models and a sighting, and what the three come to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..check import Model, explore, never
from ..check.model import Step
from ..errors import MemslotError
from ..evidence import DATA, Record, newest, read
from ..experiments import host_label, recall, recall_checks
from ..litmus_stores import Check
from ..protocol.apis import APIS, Api
from ..protocol.history.bug import extended
from ..protocol.model import model
from ..protocol.program import Program
from ..protocol.properties import PROPERTIES
from ..protocol.scenes import SCENES
from ..protocol.slots import Change
from ..protocol.vcpu import guest_access
from ..protocol.world import X86, Policy, Via, World
from ..verdict import Verdict, Word
from .changes import LANDS, WAITS, Huge, watched_access

Build = Callable[[Change, Policy, Huge], Program]

#: What each of two vCPUs makes: enough to show what there is to be shown.
ACCESSES = 2


class NotRefutedError(MemslotError):
    """A model that is too strong was not refuted; the text says by what it failed."""


@dataclass(frozen=True)
class Sighting:
    """What a host has to have shown, in the newest record of an experiment.

    With a ``check``, one of the verdicts that a record of stores holds; with a ``column``, in how
    many updates a sample of that name is more than zero; else the record's only verdict.
    """

    file: str
    experiment: str
    parameters: Mapping[str, Any]
    check: Check | None = None
    column: str = ""

    def verdict(self, records: Mapping[str, list[Record]] | None = None) -> Verdict:
        """Return what the record says; NOT RUN without one."""
        found = read(DATA / self.file) if records is None else records.get(self.file, [])
        record = newest(found, self.experiment, **self.parameters)
        if record is None:
            return Verdict.not_run("nothing is recorded")
        if self.check is not None:
            return recall_checks(record)[self.check]
        if not self.column:
            return recall(record).verdict
        samples, host = record.samples[self.column], host_label(record)
        hits = sum(one > 0 for one in samples)
        if hits:
            return Verdict.seen(hits, len(samples), host=host)
        return Verdict.not_seen(len(samples), opportunities=len(samples), host=host)

    @property
    def title(self) -> str:
        """What was seen, as a table names it."""
        how = self.parameters.get("method") or ("held" if self.parameters.get("held") else "")
        what = self.check.value if self.check else self.column.replace("_", " ")
        said = (self.parameters["api"], self.parameters["context"], how, what)
        return ", ".join(filter(None, [self.experiment, *said]))


@dataclass(frozen=True, eq=False)
class Entry:
    """One model that is too strong: what was taken out, and why somebody might model it so.

    ``keeps`` is the property that holds without it in the scene with the API, an id or one of the
    two observations. ``via``: only these accesses of the scene are made. The change is one of
    ``build`` (another program of the API), ``policy``, and ``steps`` in the place of others.
    """

    name: str
    why: str
    scene: str
    api: str
    keeps: str
    seen: Sighting
    build: Build | None = None
    policy: Policy = X86
    steps: Mapping[Step, Callable[..., Any]] = field(default_factory=dict)
    via: tuple[Via, ...] = ("guest", "emulator")

    @property
    def is_property(self) -> bool:
        """Whether one of an update's properties is asked, and not an observation."""
        return self.keeps in PROPERTIES

    @property
    def asked(self) -> str:
        """What models call the property."""
        return PROPERTIES[self.keeps].name if self.is_property else self.keeps

    @property
    def base(self) -> Model:
        """The unchanged model."""
        return self._model(APIS[self.api], X86)

    @property
    def changed(self) -> Model:
        """The model without the behaviour."""
        api = APIS[self.api]
        made = self._model(replace(api, build=self.build) if self.build else api, self.policy)
        for old, new in self.steps.items():
            made = made.with_step(old, new)
        return made

    def world(self, api: Api, policy: Policy) -> World:
        """Return the scene with an API's program, and with the entry's accesses only."""
        w = SCENES[self.scene].world(api, policy)
        accesses = tuple(one for one in w.accesses if one.via in self.via)
        return replace(w, accesses=accesses, accesses_max=ACCESSES)

    def _model(self, api: Api, policy: Policy) -> Model:
        made = model(self.world(api, policy))
        if self.is_property:
            return made
        properties = [never(LANDS), never(WAITS)]
        return extended(made, properties=properties).with_step(guest_access, watched_access)


@dataclass(frozen=True)
class Refuted:
    """What the unchanged model, the changed one and a host say of the same."""

    entry: Entry
    base: Verdict
    changed: Verdict
    host: Verdict

    @property
    def failure(self) -> str:
        """Why this refutes nothing; empty if it does refute the changed model."""
        if self.base.word is not Word.VIOLATED:
            return f"the unchanged model does not allow it: {self.base.text}"
        if self.changed.word is not Word.HOLDS:
            return f"the changed model does not exclude it: {self.changed.text}"
        if self.host.word is not Word.SEEN:
            return f"no host showed it: {self.host.text}"
        return ""


def refuted(entry: Entry, records: Mapping[str, list[Record]] | None = None) -> Refuted:
    """Put an entry's two models to the explorer, and its sighting to the records."""
    base, changed = _explored(entry)
    return Refuted(entry, base, changed, entry.seen.verdict(records))


def assert_refuted(found: Refuted) -> None:
    """Raise NotRefutedError unless the changed model is refuted."""
    if found.failure:
        raise NotRefutedError(f"{found.entry.name}: {found.failure}")


@functools.lru_cache(maxsize=64)
def _explored(entry: Entry) -> tuple[Verdict, Verdict]:
    base, changed = (explore(one, traces=False).verdicts for one in (entry.base, entry.changed))
    return base[entry.asked].verdict, changed[entry.asked].verdict
