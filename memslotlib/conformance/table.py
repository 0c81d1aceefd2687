"""The table of cases that runs on any VM: what each rule and each behaviour comes to.

A case's expectation is written from the rule or the source that it names; nothing here was copied
from a run. The refusals are built from *breaches*, one per rule: each alone, then every two that
one request can commit together, where the rule that comes first in ``REGION_RULES`` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import combinations

from ..abi.policy import HostPolicy
from ..abi.region_rules import COMMIT, CREATE, DELETE, MODIFY, PLACE, V1
from ..abi.rule import Rule
from ..abi.rules import rule
from ..interface import Vm
from ..uapi import MemFlag
from .behaviour import behaviour
from .cases import GPA, HVA, OTHER_GPA, OTHER_HVA, SIZE, Case, Refused, op, play, region
from .differential import Answer, Made, Operation
from .logcases import log_cases

_READONLY = int(MemFlag.READONLY)
_GUEST_MEMFD = int(MemFlag.GUEST_MEMFD)
#: An unknown flag, and a descriptor that no process has.
_UNKNOWN_FLAG = 1 << 3
_NO_FD = 0xFFFF_FFFF

_GMEM = op("create_guest_memfd", 2 * SIZE)
_EXISTING = region()
_EXISTING_GMEM = op("set_user_memory_region2", 1, _GUEST_MEMFD, GPA, SIZE, HVA, 0, Made(0))
_OTHER = region(2, gpa=OTHER_GPA, hva=OTHER_HVA)
_BINDER = op(
    "set_user_memory_region2", 3, _GUEST_MEMFD, 4 * OTHER_GPA, 2 * SIZE, OTHER_HVA, 0, Made(0)
)


@dataclass(frozen=True, slots=True)
class Breach:
    """How a request breaks one rule: fields to set, bits to add, and what must exist before.

    ``existing`` is whether the request must name a slot that exists (True), that does not (False),
    or either (None).
    """

    rule: str
    fields: dict[str, object] = field(default_factory=dict)
    bits: dict[str, int] = field(default_factory=dict)
    existing: bool | None = None
    setup: tuple[Operation, ...] = ()
    excludes: frozenset[str] = frozenset()


_BOUND: dict[str, object] = {"flags": _GUEST_MEMFD, "guest_memfd": Made(0)}

#: In the order of ``REGION_RULES``; none that has a test is missing.
BREACHES: tuple[Breach, ...] = (
    Breach("v1-flags", {"call": V1}, {"flags": _UNKNOWN_FLAG}),
    Breach("slot-id", {"slot": 32764}, existing=False),
    Breach("flags", bits={"flags": _UNKNOWN_FLAG}),
    # A size that is not 0 is no deletion.
    Breach("size-aligned", bits={"memory_size": 0x800}, excludes=frozenset({"delete-absent"})),
    Breach("gpa-aligned", bits={"guest_phys_addr": 0x800}),
    Breach("hva-aligned", bits={"userspace_addr": 0x800}),
    Breach("hva-range", {"userspace_addr": 0xFFFF_8000_0000_0000}),
    Breach("gmem-offset", _BOUND, {"guest_memfd_offset": 0x800}, setup=(_GMEM,)),
    # An address space that does not exist has no slots to overlap.
    Breach("as-id", {"slot": 2 << 16 | 1}, existing=False, excludes=frozenset({"overlap"})),
    # Size 0 wraps nothing.
    Breach(
        "gpa-wraps",
        {"guest_phys_addr": (1 << 64) - 0x1000},
        excludes=frozenset({"delete-absent"}),
    ),
    Breach("page-limit", {"memory_size": 1 << 43}),
    Breach("delete-absent", {"memory_size": 0}, existing=False),
    Breach("gmem-immutable", _BOUND, existing=True, setup=(_GMEM,)),
    Breach("hva-fixed", {"userspace_addr": HVA + SIZE}, existing=True),
    Breach("size-fixed", {"memory_size": SIZE + 0x1000}, existing=True),
    # READONLY with GUEST_MEMFD breaks the rule "flags" instead.
    Breach(
        "readonly-fixed",
        bits={"flags": _READONLY},
        existing=True,
        excludes=frozenset({"gmem-immutable", "gmem-offset"}),
    ),
    Breach("gmem-fixed", {"flags": 0}, existing=True, setup=(_GMEM, _EXISTING_GMEM)),
    Breach("overlap", {"guest_phys_addr": OTHER_GPA}, setup=(_OTHER,)),
    Breach("gmem-open", _BOUND | {"guest_memfd": _NO_FD}, existing=False),
    Breach("gmem-file", _BOUND | {"guest_memfd": 0}, existing=False),
    Breach(
        "gmem-range",
        _BOUND | {"guest_memfd_offset": SIZE + 0x1000},
        existing=False,
        setup=(_GMEM,),
    ),
    Breach("gmem-bound", _BOUND, existing=False, setup=(_GMEM, _BINDER)),
    Breach("gpa-range", {"guest_phys_addr": 1 << 52}),
)


def combine(first: Breach, second: Breach) -> bool:
    """Whether one request can commit both breaches."""
    rules = (rule(first.rule), rule(second.rule))
    calls = {b.fields["call"] for b in (first, second) if "call" in b.fields}
    return (
        {first.existing, second.existing} != {True, False}
        and second.rule not in first.excludes
        and first.rule not in second.excludes
        and all(second.fields.get(name, value) == value for name, value in first.fields.items())
        and not _apart(*rules)
        and all(call in each.calls for call in calls for each in rules)
    )


def _apart(first: Rule, second: Rule) -> bool:
    """Whether the two rules are asked on ways that no request takes both."""
    points = {first.when, second.when}
    deletes = DELETE in points and bool(points & {MODIFY, PLACE, CREATE, COMMIT})
    return deletes or points == {MODIFY, CREATE}


def breaking(*breaches: Breach) -> tuple[tuple[Operation, ...], Operation]:
    """Return the setup and the call that commit these breaches and no others."""
    setup = [step for breach in breaches for step in breach.setup]
    if any(breach.existing for breach in breaches) and _EXISTING_GMEM not in setup:
        setup.append(_EXISTING)
    fields: dict[str, object] = {
        "slot": 1,
        "flags": 0,
        "guest_phys_addr": GPA,
        "memory_size": SIZE,
        "userspace_addr": HVA,
        "guest_memfd_offset": 0,
        "guest_memfd": 0,
    }
    for breach in breaches:
        fields |= breach.fields
    for breach in breaches:
        for name, bits in breach.bits.items():
            value = fields[name]
            assert isinstance(value, int)
            fields[name] = value | bits
    call = fields.pop("call", None)
    arguments = tuple(fields.values())
    if call == V1:
        return _once(setup), op("set_user_memory_region", *arguments[:5])
    return _once(setup), op("set_user_memory_region2", *arguments)


def _once(steps: Iterable[Operation]) -> tuple[Operation, ...]:
    return tuple(dict.fromkeys(steps))


def refusals() -> Iterator[Case]:
    """Yield each rule of the memslot ioctls alone, then every pair that can fail together."""
    for breach in BREACHES:
        why = rule(breach.rule).condition
        yield Case(breach.rule, (breach.rule,), *breaking(breach), Refused(breach.rule), why)
    for first, second in combinations(BREACHES, 2):
        if combine(first, second):
            yield Case(
                f"{first.rule} and {second.rule}",
                (first.rule, second.rule),
                *breaking(first, second),
                Refused(first.rule),
                f"{first.rule} is checked before {second.rule}",
            )


def cases(policy: HostPolicy) -> tuple[Case, ...]:
    """Return the whole table for a host of this policy: the same names, at its own limits."""
    return (*refusals(), *behaviour(policy), *log_cases(policy))


#: The table of an upstream x86 kernel.
CASES: tuple[Case, ...] = cases(HostPolicy())


@dataclass(frozen=True, slots=True)
class Row:
    """A case and what a VM made of it; ``answer`` is None where the VM lacks what it needs."""

    case: Case
    expected: Answer
    answer: Answer | None

    @property
    def agrees(self) -> bool:
        """Whether the VM answered as the case says; the simulator must name the rule as well."""
        if self.answer is None:
            return True
        named = self.answer.rule
        if named and isinstance(self.case.expected, Refused) and named != self.case.expected.rule:
            return False
        return self.answer == self.expected


def run_cases(
    make_vm: Callable[[], AbstractContextManager[Vm]],
    policy: HostPolicy | None = None,
    table: Iterable[Case] | None = None,
) -> Iterator[Row]:
    """Run each case on a VM of its own and yield its row.

    ``policy`` says what is asked and expected where hosts differ; an upstream x86 kernel by
    default, and the whole table of that policy.

    >>> from memslotlib.abi import SimVm
    >>> rows = list(run_cases(SimVm))
    >>> [row.case.name for row in rows if not row.agrees]
    []
    """
    policy = policy if policy is not None else HostPolicy()
    for case in cases(policy) if table is None else table:
        with make_vm() as vm:
            answer = play(case, vm) if case.suits(vm) else None
            yield Row(case, case.expected.answer(policy), answer)
