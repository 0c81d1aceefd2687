"""What a record of a measurement says of a claim: SEEN k of N, or NOT SEEN in N.

A claim's ``litmus`` names the experiment, its ``property`` what is looked for, and each of its rows
an operation or a contender. The bounds by which something counts as seen are here, and nowhere
else, so that a record can be asked again with another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..verdict import Verdict
from .rounds import blocks, ratios, verdict

#: What is looked for, as claims call it.
WAITS, WAITS_TWICE = "waits", "waits twice"
FAULTS = "faults in again"
LEAVES = "leaves the guest"
GROWS_BY_SLOTS, GROWS_BY_SIZE = "grows with the number of slots", "grows with the slot's size"
SLOWED = "takes longer while a vCPU runs"
DOUBLED = "pausing doubles the update"
LOSES = "loses a tenth"
WHOLESALE = "costs half as many deltas as there are slots"

#: With this many slots against one, a median ratio of at least so much counts as growth.
SLOTS, SLOTS_RATIO = ("1", "32000"), 1.5
#: With the bigger of these sizes against the other, four times as big.
SIZES, SIZE_RATIO = (1 << 30, 1 << 32), 2.0
SLOWED_RATIO = 1.25
DOUBLED_RATIO = 2.0
LOSES_RATIO = 0.9
#: KVM maps up to 8 pages in one fault (mmu.c, direct_pte_prefetch()), so that what it takes to map
#: them all again is an eighth of the pages: half of that counts as "again".
PAGES_PER_FAULT = 16

Samples = Mapping[str, Mapping[str, Sequence[int]]]
#: How a row says that it is of a VM whose slots take only their own translations along.
_OWN = "-own"
_Given = Mapping[str, Any]
_Found = tuple[Sequence[bool], int]


def found(property_: str, row: str, given: _Given, samples: Samples, host: str) -> Verdict:
    """Return what a record's samples say of one row of a claim about ``property_``.

    NOT RUN where the record has no such contender, as on a host that lacks what it needs.

    Raises KeyError for a property that is not one of this module's.
    """
    ask = _ASKED[property_]
    what = "ioctls" if property_ in (WAITS, WAITS_TWICE, FAULTS) else "blocks"
    try:
        trials, calls = ask(row, given, samples)
    except KeyError as lacking:
        return Verdict.not_run(f"the record has no {lacking.args[0]!r}")
    return verdict(trials, calls, host, what)


def loss_rates(samples: Samples, name: str) -> list[float]:
    """Return, window by window, what a vCPU got done, against the window without an ioctl."""
    _, _, used, zap = name.split()
    return ratios(_rates(samples, name), _rates(samples, f"none 0 {used} {zap}"))


def _rates(samples: Samples, name: str) -> list[float]:
    return ratios(samples[name]["loads"], samples[name]["cpu_ns"])


def _over(ratio: Sequence[float], limit: float) -> _Found:
    """Ask each block of rounds whether its median ratio reaches the limit."""
    return [one >= limit for one in blocks(ratio)], len(ratio)


def _waits(times: int) -> Callable[[str, _Given, Samples], _Found]:
    def ask(row: str, given: _Given, samples: Samples) -> _Found:
        waits = samples[row]["waits"]
        return [one >= times for one in waits], len(waits)

    return ask


def _faults(row: str, given: _Given, samples: Samples) -> _Found:
    taken = _of_vcpu(row, samples)
    again = given["pages"] / PAGES_PER_FAULT
    # Whoever did not go round its pages could not fault: such a trial says nothing.
    trials = zip(taken["faults"], taken["loads"], strict=True)
    return [faults >= again for faults, loads in trials if loads >= given["pages"]], sum(
        taken["loads"]
    )


def _leaves(row: str, given: _Given, samples: Samples) -> _Found:
    # By blocks: a tick of the host's clock makes a vCPU leave now and then, whatever is updated.
    return _over(_of_vcpu(row, samples)["exits"], 1)


def _of_vcpu(row: str, samples: Samples) -> Mapping[str, Sequence[int]]:
    operation = row.removesuffix(_OWN)
    return samples[f"{operation} {'all' if operation == row else 'own'}"]


def _by_slots(row: str, given: _Given, samples: Samples) -> _Found:
    few, many = (samples[count][row] for count in SLOTS)
    return _over(ratios(many, few), SLOTS_RATIO)


def _by_size(row: str, given: _Given, samples: Samples) -> _Found:
    small, big = (samples[f"{size} all"][row] for size in SIZES)
    return _over(ratios(big, small), SIZE_RATIO)


def _slowed(row: str, given: _Given, samples: Samples) -> _Found:
    return _over(ratios(samples["1 running"][row], samples["1 out"][row]), SLOWED_RATIO)


def _doubled(row: str, given: _Given, samples: Samples) -> _Found:
    return _over(ratios(samples["1 paused"]["ns"], samples["1 plain"]["ns"]), DOUBLED_RATIO)


def _loses(row: str, given: _Given, samples: Samples) -> _Found:
    rates = loss_rates(samples, f"{row} 0 {max(given['pages'])} all")
    return [one <= LOSES_RATIO for one in blocks(rates)], len(rates)


def _wholesale(row: str, given: _Given, samples: Samples) -> _Found:
    slots = row.split()[0]
    all_of_them, one = samples[f"{slots} all"]["ns"], samples[f"{slots} one"]["ns"]
    return _over(ratios(all_of_them, one), int(slots) / 2)


_ASKED: Mapping[str, Callable[[str, _Given, Samples], _Found]] = {
    WAITS: _waits(1),
    WAITS_TWICE: _waits(2),
    FAULTS: _faults,
    LEAVES: _leaves,
    GROWS_BY_SLOTS: _by_slots,
    GROWS_BY_SIZE: _by_size,
    SLOWED: _slowed,
    DOUBLED: _doubled,
    LOSES: _loses,
    WHOLESALE: _wholesale,
}
