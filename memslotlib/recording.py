"""Recording: experiments run one after the other, each record kept as soon as it is made.

A run begins with a record of the host. Killed or interrupted at any instant it leaves whole records
only, and can be resumed: what the same commit has recorded on the same host since the run began is
not run again.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import about, evidence
from .errors import MemslotError, NotRunError
from .evidence import DATA, Record
from .experiment import HOST, HOSTS_FILE, Experiment, host_facts
from .hosts import outcomes, records_in, told

#: How long a quick run may take; what would not be over by then is left out, and said to be.
QUICK_S = 300.0
#: How long an experiment is guessed to take when no record tells.
GUESS_S = 3.0
#: So many seconds have to pass before this run's speed counts as much as that of runs before.
_STEADY_S = 10.0


@dataclass(frozen=True)
class Target:
    """Where records go: each to its experiment's file in a folder, or all into one file."""

    path: Path
    is_one_file: bool = False

    def append(self, file: str, record: Record) -> None:
        """Add a record that belongs into ``file``."""
        evidence.append(self.path if self.is_one_file else self.path / file, record)

    def records(self) -> list[Record]:
        """Return what is there, oldest first within a file."""
        return evidence.read(self.path) if self.is_one_file else records_in(self.path)


class Forecast:
    """How long is left: each experiment takes what it took before, scaled by how this run goes.

    ``before`` holds the seconds of earlier runs, by the experiments' keys.
    """

    def __init__(self, before: Mapping[str, float]) -> None:
        self._before = before
        self._usual = statistics.fmean(before.values()) if before else GUESS_S
        self._expected_s = self._took_s = _STEADY_S

    @classmethod
    def after(cls, records: Iterable[Record]) -> Forecast:
        """Return the forecast that records allow which tell how long they took."""
        timed = ((one, one.provenance.seconds) for one in records if one.experiment != HOST)
        return cls({one.key: seconds for one, seconds in timed if seconds is not None})

    def of(self, *waiting: Experiment) -> float:
        """Return how many seconds the experiments will take together.

        >>> round(Forecast({}).of(host_facts(), host_facts()), 3)
        6.0
        """
        expected = sum(self._before.get(one.key, self._usual) for one in waiting)
        return expected * self._took_s / self._expected_s

    def took(self, experiment: Experiment, seconds: float) -> None:
        """Learn how long an experiment took."""
        self._expected_s += self._before.get(experiment.key, self._usual)
        self._took_s += seconds


@dataclass
class Tally:
    """What became of the experiments of a run."""

    recorded: int = 0
    not_run: int = 0
    failed: int = 0
    left_out: int = 0

    @property
    def text(self) -> str:
        """The tally in a line."""
        said = f"{self.recorded} recorded, {self.not_run} NOT RUN"
        said += f", {self.failed} FAILED" * bool(self.failed)
        return said + f", {self.left_out} left out" * bool(self.left_out)


def chosen(
    experiments: Sequence[Experiment], names: Sequence[str] = (), *, quick: bool = False
) -> list[Experiment]:
    """Return the experiments that any of ``names`` means, all without one; the quick ones of them.

    A name is part of an experiment's label, or the id of a claim, figure, table or question that
    it bears on, in any case: ``Q0.5``, ``q5``.

    Raises MemslotError for a name that means none.
    """
    for name in names:
        if not any(_is_meant(one, name) for one in experiments):
            raise MemslotError(f"no experiment's name or claim is {name!r}")
    meant = [one for one in experiments if not names or any(_is_meant(one, name) for name in names)]
    return [one for one in meant if one.quick or not quick]


def _is_meant(experiment: Experiment, name: str) -> bool:
    ids = about.ids(experiment.name, experiment.parameters)
    wanted = name.upper()
    is_id = any(wanted in (one.upper(), one.upper().partition(".")[0]) for one in ids)
    return is_id or name in experiment.label


def begin(target: Target) -> Record:
    """Record the facts of this host, with which a run begins."""
    facts = host_facts()
    made = facts.run()
    target.append(facts.file, made)
    return made


def waiting(experiments: Sequence[Experiment], target: Target, begun: Record) -> list[Experiment]:
    """Return what the run that ``begun`` began has not recorded yet; NOT RUN is tried again."""
    done = {
        (one.key, one.code)
        for one in target.records()
        if _is_same(one, begun) and one.provenance.date >= begun.provenance.date
    }
    return [one for one in experiments if (one.key, one.digest) not in done]


def last_begun(target: Target) -> Record:
    """Return the record with which this commit's last run on this host began.

    Raises MemslotError when there is none to resume.
    """
    now = host_facts().run()
    for record in reversed(target.records()):
        if record.experiment == HOST and _is_same(record, now):
            return record
    where = f"commit {now.provenance.commit} on this host in {target.path}"
    raise MemslotError(f"nothing to resume: no run of {where}; leave out --resume")


def _is_same(one: Record, other: Record) -> bool:
    """Tell whether two records are of the same commit and host."""
    this, that = one.provenance, other.provenance
    return (this.commit, this.host_id) == (that.commit, that.host_id)


def run(
    experiments: Sequence[Experiment],
    target: Target,
    forecast: Forecast,
    tell: Callable[[str], None],
    limit_s: float = math.inf,
) -> Tally:
    """Run the experiments and keep a record of each; ``tell`` half a line before and half after.

    One that cannot run is recorded as such, with the reason. So is one that fails, and the others
    still run. What would not be over after ``limit_s`` seconds is left out.
    """
    tally = Tally()
    began = time.monotonic()
    for number, experiment in enumerate(experiments, 1):
        tell(f"{number}/{len(experiments)}  {experiment.label}: ")
        started = time.monotonic()
        if started - began + forecast.of(experiment) > limit_s:
            tally.left_out += 1
            tell("left out, there is no time for it\n")
            continue
        found = _recorded(experiment, target, tally)
        forecast.took(experiment, time.monotonic() - started)
        tell(f"{found}  [{duration(forecast.of(*experiments[number:]))} left]\n")
    return tally


def _recorded(experiment: Experiment, target: Target, tally: Tally) -> str:
    """Run one experiment, keep its record and return what it found."""
    try:
        made = experiment.run()
    except NotRunError as error:
        tally.not_run += 1
        target.append(HOSTS_FILE, experiment.not_run(str(error)))
        return f"NOT RUN: {error}"
    except (MemslotError, OSError) as error:
        # On a host that nobody has seen this one matters most: it is kept, and the rest still run.
        tally.failed += 1
        why = f"{type(error).__name__}: {error}"
        target.append(HOSTS_FILE, experiment.not_run(f"it failed: {why}"))
        return f"FAILED: {why}"
    target.append(experiment.file, made)
    tally.recorded += 1
    return told(outcomes(made))


def earlier(target: Target) -> list[Record]:
    """Return the records that tell how long experiments take: the project's own, and these."""
    return [*records_in(DATA), *target.records()]


def duration(seconds: float) -> str:
    """Return a number of seconds as a reader wants it.

    >>> duration(0.4), duration(59), duration(127), duration(4000)
    ('0 s', '59 s', '2 min 10 s', '1 h 7 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        # Nobody can tell to the second.
        minutes, rest = divmod(10 * math.ceil(whole / 10), 60)
        return f"{minutes} min {rest} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours} h {math.ceil(rest / 60)} min"
