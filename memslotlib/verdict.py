"""The words of a verdict, kept apart: a proof and a sample never share one.

From the model: HOLDS (every interleaving within the bound), VIOLATED (with a trace), UNDETERMINED
(the bound was reached first). From a real kernel: SEEN k of N, NOT SEEN in N, on a named host.
From neither: NOT RUN (what was missing), DOES NOT APPLY (why).
"""

from __future__ import annotations

import decimal
import math
from dataclasses import dataclass, field
from enum import Enum

from .errors import MemslotError


class Word(Enum):
    """What can be said of a claim; the value is how it is printed."""

    HOLDS = "HOLDS"
    VIOLATED = "VIOLATED"
    UNDETERMINED = "UNDETERMINED"
    SEEN = "SEEN"
    NOT_SEEN = "NOT SEEN"
    NOT_RUN = "NOT RUN"
    DOES_NOT_APPLY = "DOES NOT APPLY"


#: Words that only an exhaustive run of a model may use, and words that only a real kernel may.
MODEL_WORDS = frozenset({Word.HOLDS, Word.VIOLATED, Word.UNDETERMINED})
HOST_WORDS = frozenset({Word.SEEN, Word.NOT_SEEN})


#: How often a bound on a chance may be wrong: it holds with 95 %.
_WRONG = 0.05


class VacuousError(MemslotError):
    """A verdict that nothing stands behind: no state explored, no guest that ran, no reason."""


def chance_at_most(trials: int) -> float:
    """Return how likely a hit may be, at most, when so many independent trials showed none.

    The exact one-sided bound of a binomial, with 95 %: a chance of which no hit in so many trials
    would come up once in 20 times. For many trials it is close to 3 / trials. What it takes for
    granted is that the trials are independent and alike, which those of one host under one load
    are only roughly.

    Raises VacuousError without a trial.

    >>> [f"{chance_at_most(trials):.4f}" for trials in (1, 3, 1500)]
    ['0.9500', '0.6316', '0.0020']
    """
    if trials < 1:
        raise VacuousError(f"{trials} trials bound no chance")
    return -math.expm1(math.log(_WRONG) / trials)


@dataclass(frozen=True)
class Verdict:
    """One verdict and what it stands on.

    HOLDS needs a ``bound`` and at least one state; VIOLATED a ``trace``; SEEN and NOT SEEN a
    ``host`` and ``trials``, with ``hits`` out of them, and a NOT SEEN also the ``opportunities``
    (guest accesses proven to overlap the window); NOT RUN and DOES NOT APPLY a ``reason``. The
    ``bound`` of a NOT SEEN is how likely a hit may still be, by trials: accesses during one update
    are no independent trials.

    Counts are plain integers; ``trace`` is one line a step.

    Raises :class:`VacuousError` when a word lacks what it needs.

    >>> Verdict.seen(300, 300, host="demo").text
    'SEEN 300 of 300'
    >>> Verdict.not_seen(50, opportunities=0, host="demo")
    Traceback (most recent call last):
    memslotlib.verdict.VacuousError: NOT SEEN in 50: no access overlapped the window
    """

    word: Word
    bound: str = ""
    states: int = 0
    trace: tuple[str, ...] = field(default=(), repr=False)
    host: str = ""
    hits: int = 0
    trials: int = 0
    opportunities: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        lack = self._lacks()
        if lack:
            raise VacuousError(f"{self.text}: {lack}")

    def _lacks(self) -> str:
        if self.word is Word.HOLDS and not (self.bound and self.states):
            return "a proof needs its bound and at least one state"
        if self.word is Word.VIOLATED and not self.trace:
            return "a violation needs its trace"
        if self.word is Word.UNDETERMINED and not self.bound:
            return "name the bound that was reached"
        if self.word in HOST_WORDS and not self.host:
            return "a sample needs its host"
        if self.word is Word.SEEN and not 0 < self.hits <= self.trials:
            return f"{self.hits} of {self.trials} is no sighting"
        if self.word is Word.NOT_SEEN and self.hits:
            return f"{self.hits} hits were seen"
        if self.word is Word.NOT_SEEN and not (self.trials and self.opportunities):
            return "no access overlapped the window"
        if self.word in (Word.NOT_RUN, Word.DOES_NOT_APPLY) and not self.reason:
            return "give the reason"
        return ""

    @property
    def text(self) -> str:
        """The verdict as prose prints it, with its counts."""
        if self.word is Word.SEEN:
            return f"SEEN {self.hits:,} of {self.trials:,}"
        if self.word is Word.NOT_SEEN:
            return f"NOT SEEN in {self.trials:,}"
        return str(self.word.value)

    @classmethod
    def holds(cls, *, bound: str, states: int) -> Verdict:
        """Every interleaving within the bound was explored and none breaks the property."""
        return cls(Word.HOLDS, bound=bound, states=states)

    @classmethod
    def violated(cls, trace: tuple[str, ...], *, bound: str, states: int) -> Verdict:
        """An interleaving breaks the property; the trace shows it."""
        return cls(Word.VIOLATED, bound=bound, states=states, trace=trace)

    @classmethod
    def undetermined(cls, bound: str, *, states: int = 0) -> Verdict:
        """The bound was reached before the space was exhausted."""
        return cls(Word.UNDETERMINED, bound=bound, states=states)

    @classmethod
    def seen(cls, hits: int, trials: int, *, host: str, opportunities: int = 0) -> Verdict:
        """A real kernel showed it in ``hits`` of ``trials`` updates."""
        return cls(Word.SEEN, hits=hits, trials=trials, host=host, opportunities=opportunities)

    @classmethod
    def not_seen(cls, trials: int, *, opportunities: int, host: str) -> Verdict:
        """A real kernel did not show it, though there were so many opportunities."""
        bound = _told(trials, opportunities) if trials > 0 else ""
        return cls(Word.NOT_SEEN, bound, trials=trials, opportunities=opportunities, host=host)

    @classmethod
    def counted(
        cls, hits: int, trials: int, opportunities: int, *, least: int, host: str
    ) -> Verdict:
        """Return SEEN with a hit; without, NOT SEEN, or NOT RUN where too little has run.

        NOT SEEN takes ``least`` trials, and an opportunity.
        """
        if hits:
            return cls.seen(hits, trials, host=host, opportunities=opportunities)
        if trials < least or not opportunities:
            return cls.not_run(f"{host}: only {trials} trials, of {least} to say NOT SEEN")
        return cls.not_seen(trials, opportunities=opportunities, host=host)

    @classmethod
    def not_run(cls, missing: str) -> Verdict:
        """Nothing ran; ``missing`` says what the host lacks."""
        return cls(Word.NOT_RUN, reason=missing)

    @classmethod
    def does_not_apply(cls, why: str) -> Verdict:
        """The question makes no sense here; ``why`` says so."""
        return cls(Word.DOES_NOT_APPLY, reason=why)


def _told(trials: int, opportunities: int) -> str:
    """Return the bound of a NOT SEEN in one line, rounded up to two digits."""
    up = decimal.Context(prec=2, rounding=decimal.ROUND_CEILING)
    share = up.create_decimal_from_float(100 * chance_at_most(trials)).normalize()
    return (
        f"a hit in at most {share:f} % of such trials, with 95 %; {opportunities:,} opportunities"
    )
