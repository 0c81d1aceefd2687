"""The runner that puts a litmus test to this host's ``/dev/kvm``.

It speaks the words of a sample, SEEN and NOT SEEN, and NOT RUN with the reason when the host lacks
something. What races is the litmus test's own: its steps, its addresses, its content. The unit is
an update that the vCPU was proven to run inside; a hit is one in which it met an exit that breaks
the property.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from . import litmus as tests
from .errors import NotRunError
from .interface import Context
from .litmus import Litmus, Property, Run
from .verdict import Verdict

if TYPE_CHECKING:
    from .host.arena import Scenario
    from .host.held import Hold


class Method(Enum):
    """How updater and vCPU are brought together; the value names it in records.

    - ``RENDEZVOUS``: the updater waits between two ioctls for the vCPU, so every update shows
      whether the window exists.
    - ``OVERLAP``: nobody waits; the guest proves which updates it ran inside.
    - ``HELD``: the update's first ioctl is held inside the kernel; the guest accesses a page that
      it has mapped, and one that it has not.
    - ``HELD_LAST``: its last ioctl is; the guest has met what the ones before leave it.
    """

    RENDEZVOUS = "rendezvous"
    OVERLAP = "overlap"
    HELD = "held"
    HELD_LAST = "held-last"


#: Updates that the guest must have run inside before nothing seen is NOT SEEN. Nobody waits in an
#: overlap, so it takes many: none in 100 is less than 3 in 100, with 95 %. With the others the
#: window stands open until the guest has been there: more than one guards against a fluke.
TRIALS_MIN: Mapping[Method, int] = {
    Method.RENDEZVOUS: 3,
    Method.OVERLAP: 100,
    Method.HELD: 3,
    Method.HELD_LAST: 3,
}


def scenario(test: Litmus, api: str) -> Scenario:
    """Return what the harness races: the litmus test's steps, its addresses and its content.

    Raises UnknownLitmusError for an API that the test does not know.
    """
    # Here, not above: the claims and the simulator also load where there is no host to ask.
    from .host.arena import Scenario

    steps = [step.region for step in test.update(api)]
    create = tests.CREATE.region
    return Scenario(
        access=test.access,
        create=create,
        update=tuple(steps),
        # A slot of the same size and backing goes back to any place and any flags in one call.
        undo=() if steps[-1] == create else (create,),
        target=tests.TARGET,
        untouched=tests.UNTOUCHED,
        content=tests.CONTENT,
    )


@dataclass(frozen=True, slots=True)
class HostRunner:
    """Runs litmus tests on this host.

    ``host`` is how verdicts name it; ``updates`` how many updates (holds) to make; ``out_of_tree``
    marks a KVM module that is not upstream's, which cannot speak for upstream on what it does
    differently.
    """

    host: str
    method: Method
    updates: int = 300
    out_of_tree: bool = False

    def run(self, litmus: Litmus, keeps: Property, api: str, context: Context) -> Run:
        """Run the updates under a running vCPU; NOT RUN with the reason when it cannot.

        Raises ``host.arena.UnclaimedError`` when the vCPU met what the test does not explain.
        """
        raced = scenario(litmus, api)
        try:
            if keeps is Property.REPORTED and self.out_of_tree:
                raise NotRunError(f"{self.host}: only a stock kernel can show what upstream does")
            is_held = self.method in (Method.HELD, Method.HELD_LAST)
            run = self._held if is_held else self._race
            verdict, exits, samples = run(raced, keeps, context)
        except NotRunError as error:
            return Run(litmus.name, keeps, api, context, Verdict.not_run(str(error)), {})
        return Run(litmus.name, keeps, api, context, verdict, exits, samples)

    def _race(self, raced: Scenario, keeps: Property, context: Context) -> _Answer:
        from .host import race

        method = race.rendezvous if self.method is Method.RENDEZVOUS else race.overlap
        result = method(raced, context, self.updates)
        trials = [one for one in result.seen if one.overlapped]
        broken = [_broken(one.exits, keeps) for one in trials]
        samples = {
            "updates": [len(result.seen)],
            "duration_ns": [one.duration_ns for one in trials],
            "accesses": [one.accesses for one in trials],
            "exits": [sum(one.values()) for one in broken],
            # -1: this kernel does not tell.
            "retried": [-1 if one.retried is None else one.retried for one in trials],
        }
        verdict = self._verdict(broken, result.accesses, len(result.seen))
        return verdict, sum(broken, Counter()), samples

    def _held(self, raced: Scenario, keeps: Property, context: Context) -> _Answer:
        from .host.held import held

        step = len(raced.update) - 1 if self.method is Method.HELD_LAST else 0
        result = held(raced, context, self.updates, step)
        broken = [_broken(one.exits, keeps) for one in result.trials]
        asked = sum(one.asked for one in result.trials)
        verdict = self._verdict(broken, asked, len(result.holds))
        return verdict, sum(broken, Counter()), _hold_samples(result.trials)

    def _verdict(self, broken: list[Counter[str]], opportunities: int, made: int) -> Verdict:
        trials, hits = len(broken), sum(bool(one) for one in broken)
        if hits:
            return Verdict.seen(hits, trials, host=self.host, opportunities=opportunities)
        if trials < TRIALS_MIN[self.method]:
            raise NotRunError(
                f"{self.host}: the guest ran inside only {trials} of {made} updates;"
                f" {self.method.value} needs {TRIALS_MIN[self.method]} to say NOT SEEN"
            )
        return Verdict.not_seen(trials, opportunities=opportunities, host=self.host)


def _broken(exits: Mapping[str, int], keeps: Property) -> Counter[str]:
    return Counter({reason: n for reason, n in exits.items() if not keeps.allows(reason)})


def _hold_samples(holds: Iterable[Hold]) -> dict[str, list[int]]:
    """Return what each hold came to, one entry a hold; accesses of -1: it never came there."""
    columns: dict[str, list[int]] = {}
    for one in holds:
        mapped, unmapped = one.mapped, one.unmapped
        row = {
            "mapped_accesses": mapped.accesses,
            "mapped_exits": sum(mapped.exits.values()),
            "unmapped_accesses": unmapped.accesses if unmapped else -1,
            "unmapped_exits": sum(unmapped.exits.values()) if unmapped else 0,
            "unmapped_stalled": int(unmapped.stalled) if unmapped else 0,
            "exits_beforehand": sum(one.beforehand.values()),
            "exits_afterwards": sum(one.afterwards.values()),
        }
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns


_Answer = tuple[Verdict, Mapping[str, int], dict[str, list[int]]]
