"""Two vCPUs add one to a counter with a locked instruction, while its slot is updated.

``lock inc`` is atomic as long as it is one access. Where there is no slot it comes to userspace as
a read and a write, each served by itself; what another vCPU adds between the two is overwritten.
The model tries every interleaving of that; a host counts what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .check import Actor, Array, Flag, Int, Model, Symmetric, explore, never, sometimes
from .errors import MemslotError
from .verdict import Verdict

if TYPE_CHECKING:
    from .host.increments import Run

#: The test, and what it asks.
NAME, KEEPS = "lock-inc", "counted"
#: What happens to the slot meanwhile; the last is a control, whose increments are not locked.
APIS = ("none", "today", "pause", "mmap", "mremap", "unlocked")
VCPUS, INCREMENTS = 2, 2
#: Runs that say something before nothing missing is NOT SEEN.
RUNS_MIN = 3
_LOST = "no increment is lost"
#: The change of an API that turns its HOLDS, by the name that the claim gives it.
MUTANTS: Mapping[str, str] = {
    "none": "not locked",
    "pause": "without pause",
    "mmap": "with the steps of today",
    "mremap": "with the steps of today",
}


def model(api: str, mutant: str = "") -> Model:
    """Return the model of one update by ``api``, each vCPU making ``INCREMENTS`` increments.

    Raises MemslotError for an API that it does not know.
    """
    if api not in APIS:
        raise MemslotError(f"no API {api!r}; there are {', '.join(APIS)}")
    vcpu = Symmetric("vcpu", VCPUS)
    is_locked = api != "unlocked" and mutant != "not locked"
    removes = api in ("today", "pause") or mutant == "with the steps of today"
    pauses = api == "pause" and mutant != "without pause"

    def increment(m: Any, me: Any) -> Any:
        while m.made[me] < INCREMENTS:
            m.wait(not m.paused)
            if m.absent or not is_locked:
                m.seen[me] = m.counter
                m.half[me] = True
                yield "read: served by userspace, or a load"
                m.counter = m.seen[me] + 1
                m.half[me] = False
            else:
                m.counter += 1
            m.made[me] += 1
            if sum(m.made) == VCPUS * INCREMENTS and m.counter < VCPUS * INCREMENTS:
                m.fail(_LOST, f"{VCPUS * INCREMENTS} were made, the counter is {m.counter}")
            yield "write: the counter is one more"

    total = VCPUS * INCREMENTS
    return Model(
        f"{NAME}, {api}",
        {
            "counter": Int(total + 1),
            "made": Array(Int(INCREMENTS + 1), vcpu),
            "seen": Array(Int(total + 1), vcpu),
            "half": Array(Flag(), vcpu),
            "absent": Flag(),
            "paused": Flag(),
            "updated": Flag(),
        },
        [Actor(increment, per=vcpu, name="vcpu"), Actor(_update, pauses, removes, name="update")],
        [
            never(_LOST),
            sometimes("all were made", lambda m: sum(m.made) == total),
            sometimes("one is made after the update", lambda m: m.updated and sum(m.made) < total),
        ],
    )


def _update(m: Any, pauses: bool, removes: bool) -> Any:
    if pauses:
        m.paused = True
        yield "pause: no vCPU enters again"
        m.wait(not any(m.half))
        yield "all vCPUs are out"
    if removes:
        m.absent = True
        yield "DELETE"
        m.absent = False
        yield "CREATE"
    m.paused = False
    m.updated = True
    yield "the update is over"


def modelled(api: str, mutant: str = "") -> Verdict:
    """Return what every interleaving says of an API, or of a mutant of it."""
    found = explore(model(api, mutant), traces=True)
    return found.verdicts[_LOST].verdict


def counted(
    api: str, runs: int, increments: int, host: str
) -> tuple[Verdict, dict[str, list[int]]]:
    """Let two vCPUs count on this host, so many times; a hit is a run with one missing.

    Raises NotRunError and ``host.arena.UnclaimedError`` as ``host.increments`` does.
    """
    from .host.increments import How, count

    return judged([count(How(api), increments) for _ in range(runs)], host)


def judged(runs: Sequence[Run], host: str) -> tuple[Verdict, dict[str, list[int]]]:
    """Return what runs come to, and their samples, one entry a run."""
    told = [one for one in runs if one.overlapped or one.lost]
    hits, made = sum(one.lost != 0 for one in told), sum(one.made for one in told)
    samples = {name: [one.row[name] for one in told] for name in runs[0].row}
    return Verdict.counted(hits, len(told), made, least=RUNS_MIN, host=host), samples
