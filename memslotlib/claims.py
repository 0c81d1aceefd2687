"""The registry of claims: what the book says, what it expects, and why, before anything runs.

``book/claims/*.toml`` holds one ``[[claim]]`` table each. A claim states a property; for each API
it expects a word from the model and a word from a real kernel, with the reason and the source
written down before the recorded run. APIs for which the same is expected for the same reason share
a row: ``[claim.expect."move, flags"]``. Where a policy of a kernel differs, it has a row of its
own: ``[claim.expect."move, flags on arm64"]``. An id, once published, is never reused.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import MemslotError
from .verdict import HOST_WORDS, MODEL_WORDS, Word

#: A claim's id: the question, a dot, a number that is never reused.
CLAIM_ID = re.compile(r"^Q[0-7]\.[1-9]\d*$")

#: What every claim has to say.
REQUIRED = (
    *("title", "statement", "litmus", "property", "bound"),
    *("expect", "limits", "sources", "history"),
)

#: By which path the access reaches memory: whichever the host takes, the processor's page tables,
#: or KVM itself when it interprets an instruction.
PATHS = ("any", "page tables", "emulator")

_NEUTRAL = frozenset({Word.NOT_RUN, Word.DOES_NOT_APPLY})


class ClaimError(MemslotError, ValueError):
    """A claim's file breaks a rule of the registry; the text names file, id and rule."""


@dataclass(frozen=True)
class Expectation:
    """What one API is expected to show, written before the run.

    ``mutant`` names the change of the protocol that would flip a HOLDS; a HOLDS without one is
    refused, because nothing would show that the check can fail. With a ``policy`` it is for that
    one alone.
    """

    api: str
    model: Word
    host: Word
    reason: str
    source: str
    mutant: str = ""
    policy: str = ""

    @property
    def name(self) -> str:
        """What the row calls it."""
        return f"{self.api} on {self.policy}" if self.policy else self.api


@dataclass(frozen=True)
class Claim:
    """One statement that a reader can cite, re-run and dispute.

    ``litmus`` and ``keeps`` name the test and the property. A test of whole ioctls runs in the
    guest modes ``contexts``, by the ``path``, one of :data:`PATHS`, since hosts differ in which
    modes they interpret. A scene of the model runs with each of the ``policies``. What is measured
    has neither: ``litmus`` names the experiment, and ``trial`` says what it counts.
    """

    id: str
    title: str
    question: str
    statement: str
    litmus: str
    keeps: str
    contexts: tuple[str, ...]
    policies: tuple[str, ...]
    trial: str
    path: str
    bound: str
    expect: tuple[Expectation, ...]
    limits: tuple[str, ...]
    sources: tuple[str, ...]
    history: tuple[str, ...]

    @property
    def is_modelled(self) -> bool:
        """Whether the model of interleavings decides it, and not the simulator of whole ioctls."""
        return bool(self.policies)

    @property
    def is_measured(self) -> bool:
        """Whether measurements of a host decide it, of which no model knows anything."""
        return bool(self.trial)

    @property
    def anchor(self) -> str:
        """The id as addresses spell it."""
        return self.id.lower()

    @property
    def cells(self) -> Iterator[tuple[Expectation, str]]:
        """What is expected, and under which policy or in which context of a guest."""
        own = {(one.api, one.policy) for one in self.expect}
        for one in self.expect:
            for where in self.policies or self.contexts:
                if one.policy == where or not (one.policy or (one.api, where) in own):
                    yield one, where

    def expected(self, api: str, policy: str = "") -> Expectation:
        """Return what ``api`` is expected to show; ClaimError when the claim says nothing of it."""
        rows = {(one.api, one.policy): one for one in self.expect}
        for key in ((api, policy), (api, "")):
            if key in rows:
                return rows[key]
        known = ", ".join(one.name for one in self.expect)
        raise ClaimError(f"{self.id}: says nothing of API {api!r}, only of {known}")


def load(folder: Path) -> dict[str, Claim]:
    """Read every claim under ``folder``, in the order of their ids.

    Raises ClaimError when a file breaks a rule or two claims share an id.
    """
    claims: dict[str, Claim] = {}
    for path in sorted(folder.glob("*.toml")):
        for claim in load_text(path.read_text(encoding="utf-8"), path.name):
            if claim.id in claims:
                raise ClaimError(f"{path.name}: {claim.id}: this id is taken")
            claims[claim.id] = claim
    return dict(sorted(claims.items(), key=lambda item: _number(item[0])))


def load_text(text: str, name: str) -> list[Claim]:
    r"""Read the claims of one file's text; ``name`` is what errors call it.

    Raises ClaimError naming file, id and rule: TOML that does not parse, a key that is missing, a
    word of the wrong kind (a model never SEES, a host never HOLDS), a HOLDS without its mutant.

    >>> load_text('[[claim]]\nid = "Q5.2"', "q5.toml")
    Traceback (most recent call last):
    memslotlib.claims.ClaimError: q5.toml: Q5.2: lacks title
    """
    try:
        tables = tomllib.loads(text).get("claim", [])
    except tomllib.TOMLDecodeError as error:
        raise ClaimError(f"{name}: {error}") from error
    return [_claim(table, name) for table in tables]


def _claim(table: Mapping[str, Any], name: str) -> Claim:
    identity = str(table.get("id", "?"))
    where = f"{name}: {identity}"
    if not CLAIM_ID.match(identity):
        raise ClaimError(f"{where}: an id looks like Q5.2")
    for key in REQUIRED:
        if not table.get(key):
            raise ClaimError(f"{where}: lacks {key}")
    contexts, policies = tuple(table.get("contexts", ())), tuple(table.get("policies", ()))
    trial = table.get("trial", "")
    if sum(map(bool, (contexts, policies, trial))) != 1:
        kinds = "contexts, of a guest, policies, of a kernel, or trial, of a measurement"
        raise ClaimError(f"{where}: has one of {kinds}")
    return Claim(
        id=identity,
        title=table["title"],
        question=identity.split(".")[0],
        statement=" ".join(table["statement"].split()),
        litmus=table["litmus"],
        keeps=table["property"],
        contexts=contexts,
        policies=policies,
        trial=trial,
        path=_path(table.get("path", PATHS[0]), where),
        bound=table["bound"],
        expect=tuple(
            _expectation(api, row, where, policy)
            for apis, policy, row in _rows(table["expect"], policies, where)
            for api in apis.split(", ")
        ),
        limits=_sentences(table["limits"]),
        sources=_sentences(table["sources"]),
        history=_sentences(table["history"]),
    )


def _rows(
    expect: Mapping[str, Any], policies: tuple[str, ...], where: str
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for name, row in expect.items():
        apis, _, policy = name.partition(" on ")
        if policy and policy not in policies:
            raise ClaimError(f"{where}: expect.{name}: the claim has no policy {policy!r}")
        yield apis, policy, row


def _expectation(api: str, row: Mapping[str, Any], where: str, policy: str) -> Expectation:
    where = f"{where}: expect.{api}"
    for key in ("model", "host", "reason", "source"):
        if not row.get(key):
            raise ClaimError(f"{where}: lacks {key}")
    one = Expectation(
        api=api,
        model=_word(row["model"], MODEL_WORDS | _NEUTRAL, f"{where}.model"),
        host=_word(row["host"], HOST_WORDS | _NEUTRAL, f"{where}.host"),
        reason=" ".join(row["reason"].split()),
        source=row["source"],
        mutant=row.get("mutant", ""),
        policy=policy,
    )
    if one.model is Word.HOLDS and not one.mutant:
        raise ClaimError(f"{where}: a HOLDS names the mutant that flips it")
    return one


def _word(text: str, allowed: Iterable[Word], where: str) -> Word:
    for word in allowed:
        if word.value == text:
            return word
    choices = ", ".join(sorted(word.value for word in allowed))
    raise ClaimError(f"{where}: {text!r} is not one of {choices}")


def _path(text: str, where: str) -> str:
    if text not in PATHS:
        raise ClaimError(f"{where}: path {text!r} is not one of {', '.join(PATHS)}")
    return text


def _sentences(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(" ".join(item.split()) for item in items)


def _number(identity: str) -> tuple[str, int]:
    question, _, number = identity.partition(".")
    return question, int(number)
