"""Host and model held against each other: what a kernel showed has to be possible in the model.

A model that HOLDS where a kernel showed the opposite is *unsound*, and whatever it proves is worth
nothing. The other way round is no contradiction: what the model allows and no host showed is
listed, with the reason why it was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .claims import Claim
from .errors import MemslotError
from .evidence import DATA, Record, read
from .experiments import recall_checks, recalled
from .litmus_model import ALL_SCENES, explored
from .litmus_stores import Check
from .protocol.apis import APIS
from .protocol.failures import FailingScene
from .protocol.logscenes import RingScene
from .protocol.scenes import SHIFT, Scene
from .verdict import Verdict, Word


class UnsoundModelError(MemslotError):
    """A kernel showed what the model excludes; the text names both."""


@dataclass(frozen=True)
class Pair:
    """An experiment of the host, and what the model says of the same.

    ``parameters`` are those that the record must have; ``check`` is which of its verdicts is meant,
    if it has several. ``unseen`` is why a host may not show what the model allows.
    """

    file: str
    experiment: str
    parameters: Mapping[str, Any]
    scene: str
    api: str
    keeps: str
    check: Check | None = None
    unseen: str = ""

    @property
    def title(self) -> str:
        """The experiment and its parameters, as a table names them."""
        how = [
            ("held" if value else "not held") if name == "held" else str(value)
            for name, value in self.parameters.items()
        ]
        return " ".join([self.experiment, *how, *([self.check.value] if self.check else [])])

    @property
    def path(self) -> str:
        """By which path the guest's accesses have to reach memory, as claims name it."""
        return "emulator" if self.parameters["context"] == _EMULATED else "page tables"

    def fits(self, experiment: str, parameters: Mapping[str, Any]) -> bool:
        """Tell whether the pair is about a record of ``experiment`` with ``parameters``."""
        return self.experiment == experiment and self.parameters.items() <= parameters.items()


@dataclass(frozen=True)
class Compared:
    """A pair with both verdicts."""

    pair: Pair
    host: Verdict
    model: Verdict
    provenance: str = field(default="", compare=False)

    @property
    def is_sound(self) -> bool:
        """Whether the model allows what the host showed."""
        return self.host.word is not Word.SEEN or self.model.word is Word.VIOLATED

    @property
    def said(self) -> str:
        """What the comparison comes to, in a few words."""
        if self.host.word is Word.SEEN:
            return "seen, and allowed" if self.is_sound else "MODEL UNSOUND"
        if self.model.word is Word.VIOLATED:
            return f"allowed, not seen: {self.pair.unseen or 'no reason is known'}"
        return "not allowed, not seen"


_NATIVE, _EMULATED = "long64-cpl3", "long64"
#: Orders of calls in which a VMM copies pages, and the scene and API that have them in the model.
COPIED = {
    "get-copy": ("truncate-logged+store", "today"),
    "get-delete": ("truncate-logged+store", "today"),
    "pause": ("truncate-logged+store", "pause"),
    "move": ("move-logged+round", "move"),
}


def _pairs() -> Iterator[Pair]:
    for access in ("load", "store", "fetch"):
        name = f"delete-create+{access}"
        hole = {"api": "today", "method": "rendezvous"}
        yield Pair("q0.jsonl", name, {**hole, "context": _NATIVE}, "split+load", "today", "I3a")
        yield Pair(
            "q0.jsonl", name, {**hole, "context": _EMULATED}, "split+emulator", "today", "I3a"
        )
        move = {"api": "move", "method": "overlap"}
        yield Pair("q4.jsonl", name, {**move, "context": _NATIVE}, "move+load", "move", "I3b")
        yield Pair("q0.jsonl", name, {**move, "context": _EMULATED}, "move+emulator", "move", "I3b")
    for context, scene in ((_NATIVE, "hva-flip+store"), (_EMULATED, "hva-flip+emulator")):
        for check in (Check.I2, Check.I3B, Check.I4B):
            where = {"api": "today", "context": context}
            yield Pair("q5.jsonl", "hva-flip+store", where, scene, "today", check.value, check)
    for held in (False, True):
        logged: dict[str, Any] = {"api": "today", "context": _NATIVE, "held": held}
        yield Pair(
            "q6.jsonl", "dirty-log+store", logged, "truncate-logged+store", "today", "I5", Check.I5
        )
    for order, (scene, api) in COPIED.items():
        copied = {"api": order, "context": _NATIVE}
        yield Pair("q6.jsonl", "copying+store", copied, scene, api, "I5")


#: What is compared.
PAIRS = tuple(_pairs())


def compare(records: Mapping[str, list[Record]] | None = None) -> list[Compared]:
    """Hold every pair's newest record against the model; a pair without a record is NOT RUN."""
    files = {pair.file for pair in PAIRS}
    found = {file: read(DATA / file) for file in files} if records is None else records
    return [_compared(pair, found.get(pair.file, [])) for pair in PAIRS]


def assert_sound(compared: list[Compared]) -> None:
    """Raise UnsoundModelError when a host showed what the model excludes."""
    for one in compared:
        if not one.is_sound:
            raise UnsoundModelError(
                f"{one.pair.title}: {one.host.text} on {one.host.host}, but the model says "
                f"{one.model.text} of {one.pair.keeps} in {one.pair.scene} with {one.pair.api}"
            )


def _compared(pair: Pair, records: list[Record]) -> Compared:
    model = explored(pair.scene, pair.api).verdict(pair.keeps)
    fitting = [one for one in records if pair.fits(one.experiment, one.parameters)]
    if not fitting:
        return Compared(pair, Verdict.not_run("nothing is recorded"), model)
    newest = fitting[-1]
    host = recall_checks(newest)[pair.check] if pair.check else recalled(newest)
    return Compared(pair, host, model, newest.provenance.commit)


@dataclass(frozen=True)
class Unshown:
    """What the model allows of APIs that kernels have, and no host showed; and why not."""

    claim: str
    scene: str
    keeps: str
    apis: tuple[str, ...]
    reason: str


#: Why no host showed what a claim's scene may come to; the first that fits tells.
UNSHOWN: tuple[tuple[str, Callable[[Scene, Claim, str], bool]], ...] = (
    ("no host with records has SMM", lambda scene, claim, api: scene.change.spaces > 1),
    ("no host with records is arm64", lambda scene, claim, api: claim.policies == ("arm64",)),
    (
        "the hosts with records log by write protection, without PML",
        lambda scene, claim, api: "x86-pml" in claim.policies,
    ),
    (
        "no experiment makes an allocation of the kernel fail",
        lambda scene, claim, api: isinstance(scene, FailingScene),
    ),
    (
        "no experiment makes one access over two slots",
        lambda scene, claim, api: any(one.npages > 1 for one in scene.accesses),
    ),
    (
        "userspace completes no exit by a map of its own in the experiments",
        lambda scene, claim, api: bool(scene.exits),
    ),
    (
        "no experiment has vhost at work meanwhile",
        lambda scene, claim, api: any(one.via == "vhost" for one in scene.outside),
    ),
    (
        "no experiment has a device of the kernel at work meanwhile",
        lambda scene, claim, api: any(one.via == "device" for one in scene.outside),
    ),
    (
        "no experiment updates from two threads",
        lambda scene, claim, api: scene.contender is not None,
    ),
    (
        "the experiments with mmap over the hva copy nothing before it",
        lambda scene, claim, api: api == "remap" and claim.keeps == "I4b",
    ),
    (
        "shown where nobody else runs, as a case of appendix A2; no experiment races it",
        lambda scene, claim, api: isinstance(scene, RingScene),
    ),
    (
        "no experiment moves the border between two slots",
        lambda scene, claim, api: scene.change is SHIFT,
    ),
    (
        "the experiments with a log make another change",
        lambda scene, claim, api: any(slot.log for slot in scene.change.before),
    ),
)


def unshown(claims: Iterable[Claim]) -> Iterator[Unshown]:
    """Yield what the model allows and no host showed, APIs with the same reason together.

    What no kernel has is left out: no host could show it. Raises MemslotError where
    nothing says why.
    """
    for claim in claims:
        reasons: dict[str, list[str]] = {}
        for one in claim.expect if claim.is_modelled else ():
            allowed = one.model is Word.VIOLATED and one.host is not Word.SEEN
            if allowed and APIS[one.api].is_real:
                reasons.setdefault(_why(claim, one.api), []).append(one.api)
        for reason, apis in reasons.items():
            names = tuple(dict.fromkeys(apis))
            yield Unshown(claim.id, claim.litmus, claim.keeps, names, reason)


def _why(claim: Claim, api: str) -> str:
    scene = ALL_SCENES[claim.litmus]
    for reason, fits in UNSHOWN:
        if fits(scene, claim, api):
            return reason
    raise MemslotError(f"{claim.id}: nothing says why no host showed it of {api}")
