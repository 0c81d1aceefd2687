"""The runner that puts a litmus test to this host's ``/dev/kvm``.

It speaks the words of a sample, SEEN and NOT SEEN, and NOT RUN with the reason when the host lacks
something. Three methods: *rendezvous* waits between two ioctls for the vCPU, so every update shows
whether the window exists; *free-running* waits for nothing; *overlap* counts the accesses that the
guest itself proves to have run while an ioctl did.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .errors import NotRunError
from .interface import Context
from .litmus import Litmus, Property, Run
from .verdict import Verdict

#: How the race harness calls what an API does to the slot.
UPDATE = {"today": "delete-create", "move": "move", "flags": "flags"}


class Method(Enum):
    """How updater and vCPU are brought together; the value names it in records."""

    RENDEZVOUS = "rendezvous"
    FREE_RUNNING = "free-running"
    OVERLAP = "overlap"


@dataclass(frozen=True, slots=True)
class HostRunner:
    """Runs litmus tests on this host.

    ``host`` is how verdicts name it; ``out_of_tree`` marks a KVM module that is not upstream's,
    which cannot speak for upstream on what it does differently.
    """

    host: str
    method: Method
    updates: int = 300
    out_of_tree: bool = False

    def run(self, litmus: Litmus, keeps: Property, api: str, context: Context) -> Run:
        """Run ``updates`` updates under a running vCPU; NOT RUN with the reason when it cannot."""
        litmus.update(api)
        try:
            if keeps is Property.REPORTED and self.out_of_tree:
                raise NotRunError(f"{self.host}: only a stock kernel can show what upstream does")
            if self.method is Method.OVERLAP:
                return self._overlap(litmus, keeps, api, context)
            return self._race(litmus, keeps, api, context)
        except NotRunError as error:
            return Run(litmus.name, keeps, api, context, Verdict.not_run(str(error)), {})

    def _race(self, litmus: Litmus, keeps: Property, api: str, context: Context) -> Run:
        # Here, not above: the claims and the simulator also load where there is no host to ask.
        from .host import race

        if self.method is Method.RENDEZVOUS:
            result = race.rendezvous(litmus.access.value, context, UPDATE[api], self.updates)
        else:
            result = race.free_running(litmus.access.value, context, UPDATE[api], self.updates)
        broken = {r: n for r, n in result.exits_by_reason.items() if not keeps.allows(r)}
        hits = min(result.hits, sum(broken.values()))
        samples = {
            "duration_ns": [one.duration_ns for one in result.seen],
            "exits": [one.exits for one in result.seen],
            "guest_ran": [int(one.progressed) for one in result.seen],
            "heartbeat": list(result.progress),
        }
        verdict = self._verdict(hits, result.updates, result.opportunities)
        return Run(litmus.name, keeps, api, context, verdict, broken, samples)

    def _overlap(self, litmus: Litmus, keeps: Property, api: str, context: Context) -> Run:
        from .host import race

        result = race.overlap(litmus.access.value, UPDATE[api], context, self.updates)
        samples = {
            "updates": [result.updates],
            "updates_overlapped": [result.updates_overlapped],
            "accesses": [result.accesses],
            "discarded": [result.discarded],
        }
        # The unit of a trial is an access here: one that overlapped an ioctl.
        verdict = self._verdict(result.holes, result.overlapping, result.overlapping)
        return Run(litmus.name, keeps, api, context, verdict, result.exits_by_reason, samples)

    def _verdict(self, hits: int, trials: int, opportunities: int) -> Verdict:
        if hits:
            return Verdict.seen(hits, trials, host=self.host, opportunities=opportunities)
        if not opportunities:
            raise NotRunError(f"{self.host}: the guest ran during none of {trials} updates")
        return Verdict.not_seen(trials, opportunities=opportunities, host=self.host)
