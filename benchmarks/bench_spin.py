"""The explorer against SPIN on the same model: equal counts, one thread, one machine, one run.

Run as ``python benchmarks/bench_spin.py [--record]``; it takes ten minutes and 8 GB. SPIN runs
the Promela that was written by hand (``tests/check/oracles``), compiled with -O2. Of states per
second, the explorer's search is timed, with the Python that runs in it.

A time to a verdict is told in three ways, since SPIN has to generate and compile a verifier first,
and the explorer to read its actors:

- of both everything, from the text of the model on: what somebody waits for who edited it;
- of both only the run, with what comes before it done: the actors known, the verifier compiled;
- the most that can be held against the explorer: all of its time, and of SPIN's only the run.

Contenders take turns, and the medians of their times are compared. The explorer leaves the memory
of a search to the next one, so that its first round is the only one that pays for fresh memory.

SPIN's hash table has at least two slots for each state (-w), so that its chains are short, and its
stack is no deeper than the model needs (-m): both in its favour.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from measured import Number, main
from memslot_like import model

from memslotlib.check import explore, lower
from memslotlib.check.explore import ENGINES
from memslotlib.errors import NotRunError
from memslotlib.provenance import ROOT

sys.path.insert(0, str(ROOT / "tests"))

from check.checkers import spin_compiled, spin_counted

PROMELA = ROOT / "tests" / "check" / "oracles" / "memslot_like.pml"
OPTIONS = ("-O2", "-DSAFETY", "-DNOFAIR", "-DMEMLIM=20000")
DEPTH_MAX = 10_000

#: The engine without a compiler at run time; what is here when the native walker was not built.
ENGINE = "native" if "native" in ENGINES else next(iter(ENGINES))

STATES_RATIO_MIN_DFS = 6.0
STATES_RATIO_MIN_BFS = 9.0
#: Of the time to a verdict, by the number of vCPUs.
VERDICT_RATIO_MIN = {2: 12.0, 3: 25.0}


@dataclass(frozen=True)
class Case:
    """One size of the model: vCPUs, pages, accesses; its states; and how often it is measured."""

    vcpus: int
    pages: int
    accesses: int
    states: int
    states_symmetry: int
    rounds: int

    @property
    def name(self) -> str:
        """The case in words."""
        return f"{self.vcpus} vCPUs, {self.pages} pages, {self.accesses} accesses"

    @property
    def slots_log2(self) -> int:
        """SPIN's -w: two slots or more for each state."""
        return (2 * self.states - 1).bit_length()


#: States are compared one by one where the orders are alike: every state, nothing left out.
RAW = (
    Case(2, 2, 3, 1_921_488, 964_157, rounds=5),
    Case(2, 3, 3, 23_851_569, 11_942_209, rounds=3),
)
#: Verdicts are compared where each may use what it knows: symmetry, partial orders.
VERDICT = (
    Case(2, 2, 3, 1_921_488, 964_157, rounds=5),
    Case(2, 3, 3, 23_851_569, 11_942_209, rounds=5),
    Case(3, 2, 1, 1_110_241, 197_364, rounds=5),
    Case(3, 2, 2, 78_983_872, 13_411_859, rounds=1),
)


def measure() -> list[Number]:
    """Take every measurement; a count that differs ends the run with an error."""
    for program in ("spin", "gcc"):
        if shutil.which(program) is None:
            raise NotRunError(f"{program} is not installed")
    with tempfile.TemporaryDirectory(prefix="memslots-spin-") as folder:
        numbers = [number for case in RAW for number in states_per_second(case, Path(folder))]
        return numbers + [n for case in VERDICT for n in time_to_verdict(case, Path(folder))]


def states_per_second(case: Case, folder: Path) -> list[Number]:
    """Compare the states per second of searches that visit every state."""
    times_s = alternated(
        case.rounds,
        {
            "explorer": lambda: explored_s(case, symmetry=False, searching=True),
            "SPIN DFS": spin_timer(case, folder / "dfs", "-DNOREDUCE"),
            "SPIN BFS": spin_timer(case, folder / "bfs", "-DNOREDUCE", "-DBFS"),
        },
    )
    numbers = [
        Number(f"{case.name}: {name}", case.states / took_s / 1e6, "million states/s")
        for name, took_s in times_s.items()
    ]
    for name, least in (("DFS", STATES_RATIO_MIN_DFS), ("BFS", STATES_RATIO_MIN_BFS)):
        ratio = times_s[f"SPIN {name}"] / times_s["explorer"]
        numbers.append(
            Number(f"{case.name}: states/s, explorer over SPIN {name}", ratio, "x", at_least=least)
        )
    return numbers


def time_to_verdict(case: Case, folder: Path) -> list[Number]:
    """Compare the times until all is known: with symmetry, and with SPIN's own reduction."""
    times_s = alternated(
        case.rounds,
        {
            "explorer with symmetry": lambda: explored_s(case, symmetry=True),
            "the same again, its actors known": lambda: explored_s(case, symmetry=True, again=True),
            "SPIN's generator and compiler": lambda: prepared_s(case, folder / "prepared"),
            "SPIN DFS, its own reduction": spin_timer(case, folder / "reduced"),
        },
    )
    numbers = [Number(f"{case.name}: {name}", took_s, "s") for name, took_s in times_s.items()]
    explorer_s, known_s, prepared, spin_s = times_s.values()
    least = VERDICT_RATIO_MIN[case.vcpus]
    for counted, ratio, bound in (
        ("all of both", (prepared + spin_s) / explorer_s, least),
        ("the runs of both", spin_s / known_s, least),
        ("all of the explorer, only SPIN's run", spin_s / explorer_s, None),
    ):
        name = f"{case.name}: time to verdict, SPIN over explorer, {counted}"
        numbers.append(Number(name, ratio, "x", at_least=bound))
    return numbers


def alternated(rounds: int, contenders: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Run the contenders in turn, so many rounds, and return the median time of each."""
    times_s: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            times_s[name].append(run())
    return {name: median(each) for name, each in times_s.items()}


def explored_s(
    case: Case, *, symmetry: bool, again: bool = False, searching: bool = False
) -> float:
    """Return how long the explorer takes from nothing, as after an edit of the model.

    With ``again`` it knows the text of the actors, as for other parameters of the same model; with
    ``searching`` only the search counts.
    """
    if not again:
        lower._templates.clear()
    began = perf_counter()
    made = model(case.vcpus, case.pages, case.accesses)
    result = explore(made, engine=ENGINE, symmetry=symmetry, traces=False)
    took_s = perf_counter() - began
    expected = case.states_symmetry if symmetry else case.states
    if result.states != expected:
        raise RuntimeError(f"{case.name}: {result.states:,} states instead of {expected:,}")
    return result.search_seconds if searching else took_s


def prepared_s(case: Case, folder: Path) -> float:
    """Return how long SPIN's generator and the C compiler take to make the verifier."""
    began = perf_counter()
    spin_verifier(case, folder)
    return perf_counter() - began


def spin_verifier(case: Case, folder: Path, *options: str) -> Path:
    """Return SPIN's verifier of the model at one size."""
    defines = [f"VCPUS={case.vcpus}", f"PAGES={case.pages}", f"ACCESSES={case.accesses}"]
    promela = PROMELA.read_text("utf-8")
    return spin_compiled(promela, folder, defines=defines, options=(*OPTIONS, *options))


def spin_timer(case: Case, folder: Path, *options: str) -> Callable[[], float]:
    """Compile SPIN's verifier, and return what runs it once and tells the seconds."""
    folder = folder / "-".join(map(str, (case.vcpus, case.pages, case.accesses)))
    pan = spin_verifier(case, folder, *options)

    def run() -> float:
        # Without -A the many violated assertions would cost SPIN time to report.
        found = spin_counted(pan, f"-m{DEPTH_MAX}", f"-w{case.slots_log2}", "-A", "-E")
        if "-DNOREDUCE" in options and found.states != case.states:
            raise RuntimeError(
                f"{case.name}: SPIN finds {found.states:,} states instead of {case.states:,}"
            )
        return found.seconds

    return run


if __name__ == "__main__":
    sys.exit(main("spin", ["memslotlib.check.explore", "memslotlib.check.engine_native"], measure))
