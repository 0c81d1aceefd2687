"""Contenders by turns: the samples of each, what is typical of them, and what their ratios say."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..errors import MemslotError, NotRunError
from ..verdict import Verdict, Word, chance_at_most

#: One turn: what it measured, by name.
Turn = Callable[[], Mapping[str, int]]
#: By contender, by what was measured: one value a round.
Samples = dict[str, dict[str, list[int]]]

#: Trials of a verdict about ratios. NOT SEEN in so many is less than one in seven, with 95 %.
BLOCKS = 20


class UnequalRoundsError(MemslotError, ValueError):
    """Samples that do not come from the same rounds; the text says how many there are of each."""


def by_turns(contenders: Mapping[str, Turn], rounds: int) -> Samples:
    """Let each contender take its turn in every round, another one first each time.

    One more round comes first and is not kept: it finds caches cold and pages untouched.

    >>> by_turns({"a": lambda: {"ns": 1}, "b": lambda: {"ns": 2}}, 3)
    {'a': {'ns': [1, 1, 1]}, 'b': {'ns': [2, 2, 2]}}
    """
    names = list(contenders)
    samples: Samples = {name: {} for name in names}
    for number in range(rounds + 1):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            for what, value in contenders[name]().items():
                if number:
                    samples[name].setdefault(what, []).append(value)
    return samples


@dataclass(frozen=True)
class Spread:
    """What is typical of ``n`` values: their median, and the quartiles around it."""

    n: int
    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of values; ValueError when there are none.

        >>> Spread.of([4, 1, 2, 3])
        Spread(n=4, low=1.75, median=2.5, high=3.25)
        >>> Spread.of([7])
        Spread(n=1, low=7, median=7, high=7)
        """
        if not values:
            raise ValueError("no values have no spread")
        if len(values) == 1:
            return cls(1, values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(len(values), low, median, high)


def medians(samples: Samples) -> dict[str, dict[str, int]]:
    """Return the median of each contender's samples: what a record says in short.

    >>> medians({"a": {"ns": [1, 5, 2]}})
    {'a': {'ns': 2}}
    """
    return {
        name: {what: round(Spread.of(values).median) for what, values in taken.items()}
        for name, taken in samples.items()
    }


def ratios(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return each round's ratio of a contender to the one that it is held against.

    Raises UnequalRoundsError when they do not have the same number of rounds, and NotRunError when
    in a round nothing ran that the other could be held against.
    """
    if len(values) != len(base):
        raise UnequalRoundsError(f"{len(values)} rounds against {len(base)}")
    if 0 in base:
        raise NotRunError(f"in {base.count(0)} of {len(base)} rounds nothing ran: too busy a host")
    return [one / other for one, other in zip(values, base, strict=True)]


def blocks(values: Sequence[float], count: int = BLOCKS) -> list[float]:
    """Return the medians of ``count`` blocks of consecutive values, none of which is left out.

    With fewer values than that, each is its own block.

    >>> blocks([1, 9, 1, 2, 9, 2], 2)
    [1, 2]
    """
    count = min(count, len(values))
    bounds = [len(values) * number // count for number in range(count + 1)] if count else []
    return [statistics.median(values[start:end]) for start, end in pairwise(bounds)]


def verdict(trials: Sequence[bool], calls: int, host: str, what: str = "blocks") -> Verdict:
    """Return what trials say, each True where it showed what was looked for.

    ``calls`` is how many measurements stand behind them. A NOT SEEN tells how likely one more such
    trial may still show it. NOT RUN without a trial.

    >>> verdict([False] * 20, 400, "demo").bound
    'in at most 14.0 % of such blocks, with 95 %; 400 measurements'
    >>> verdict([True, False], 2, "demo").text
    'SEEN 1 of 2'
    """
    if not trials:
        return Verdict.not_run("nothing was measured")
    if any(trials):
        return Verdict.seen(sum(trials), len(trials), host=host, opportunities=calls)
    share = math.ceil(1000 * chance_at_most(len(trials))) / 10
    return Verdict(
        Word.NOT_SEEN,
        bound=f"in at most {share} % of such {what}, with 95 %; {calls:,} measurements",
        trials=len(trials),
        opportunities=calls,
        host=host,
    )
