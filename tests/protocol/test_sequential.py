"""With one actor at a time the model answers as the simulator does, ioctl by ioctl."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memslotlib.abi import HostPolicy, SimVm
from memslotlib.check import CheckError
from memslotlib.errors import KvmError
from memslotlib.interface import FETCH_STUB, Context
from memslotlib.protocol.apis import flags, move, today
from memslotlib.protocol.program import Program
from memslotlib.protocol.sequential import Ordered, Outcome, Sequential
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.userspace import get_dirty_log
from memslotlib.protocol.world import ARM64, X86, X86_SLOT_ZAP, Access, Policy, every
from memslotlib.uapi import MemFlag

PAGE, HVA = 0x1000, 0x2000_0000_0000
LOG, READONLY = int(MemFlag.LOG_DIRTY_PAGES), int(MemFlag.READONLY)
GFNS, HOST_PAGES = 4, 6
NATIVE, EMULATED = Context.LONG64_CPL3, Context.REAL16
POLICY = HostPolicy(native_contexts=frozenset({NATIVE}), reads_mark_dirty=False)

#: KVM_SET_USER_MEMORY_REGION as a tuple: slot, flags, first gfn, pages, first page of the host.
Region = tuple[int, int, int, int, int]
ACCESSES = (
    *every(("load", "fetch", "store"), range(GFNS), ("guest",), (0, 1)),
    *every(("load", "store"), range(GFNS), ("emulator",), (0, 1)),
    *every(("load",), range(GFNS), ("walk",), (0, 1)),
)


class Simulated:
    """SimVm with two address spaces, and what an access of it comes to in the model's words."""

    def __init__(self) -> None:
        self.vm = SimVm(2, POLICY)
        self.memory = self.vm.memory(HVA, HOST_PAGES * PAGE)
        for number in range(HOST_PAGES):
            self.memory[number * PAGE : number * PAGE + 2] = FETCH_STUB
            self.memory[number * PAGE + 0x100] = number
        self.stamp = 0

    def set(self, region: Region) -> bool:
        """Make the ioctl; False where it is refused."""
        slot, bits, base, npages, page = region
        try:
            self.vm.set_user_memory_region(
                slot, bits, base * PAGE, npages * PAGE, HVA + page * PAGE
            )
        except KvmError:
            return False
        return True

    def access(self, access: Access) -> tuple[str, int | None]:
        """Return the exit, and which page of the host it was about if that shows."""
        gpa, as_id = access.gfn * PAGE, access.as_id
        context = NATIVE if access.via == "guest" else EMULATED
        if access.kind == "fetch":
            return self.vm.fetch(gpa, context=context, as_id=as_id).reason, None
        if access.kind == "load":
            seen = self.vm.read(gpa + 0x100, 1, context=context, as_id=as_id)
            return seen.reason, seen.data[0] if seen.reason == "done" else None
        self.stamp = self.stamp % 255 + 1
        seen = self.vm.write(gpa + 8, bytes([self.stamp]), context=context, as_id=as_id)
        hit = [n for n in range(HOST_PAGES) if self.memory[n * PAGE + 8] == self.stamp]
        assert len(hit) == (seen.reason == "done")
        self.memory[hit[0] * PAGE + 8 if hit else 8] = 0
        return seen.reason, hit[0] if hit else None

    def logs(self, number: int) -> bool:
        """Whether a slot has a dirty bitmap."""
        return self.bitmap(number) is not None

    def bitmap(self, number: int) -> frozenset[int] | None:
        """Return the frames whose bits are set, without clearing them."""
        for slot in self.vm.slots(number >> 16):
            if slot.number == number and slot.bitmap is not None:
                return bits(bytes(slot.bitmap), slot.base_gfn)
        return None


def bits(bitmap: bytes, base_gfn: int) -> frozenset[int]:
    """Return the frames whose bits are set in a slot's bitmap."""
    word = int.from_bytes(bitmap, "little")
    return frozenset(base_gfn + n for n in range(word.bit_length()) if word >> n & 1)


def slot_of(region: Region, incarnation: int) -> Slot:
    """Return the model's slot: equal pages for equal frames exactly if page - base are equal."""
    number, bits, base, npages, page = region
    return Slot(
        f"{number >> 16}.{number & 0xFFFF}#{incarnation}",
        base,
        npages,
        f"{page - base:+d}",
        number >> 16,
        readonly=bool(bits & READONLY),
        log=bool(bits & LOG),
    )


def like(old: Region, new: Region, kind: str) -> Region:
    """Return a call that changes one thing of a slot: its flags, its place, its existence."""
    number, bits, base, npages, page = old
    if kind == "delete":
        return number, 0, 0, 0, 0
    if kind == "flags":
        return number, bits ^ LOG, base, npages, page
    # KVM may change LOG_DIRTY_PAGES in the same call.
    return number, new[1] & LOG | bits & READONLY, min(new[2], GFNS - npages), npages, page


class Plan:
    """The programs that calls come to, and which kernel operation each is.

    A scratch simulator says what is refused; then the model has no program.
    """

    def __init__(self, calls: list[Any], policy: Policy, without: str = "") -> None:
        self.scratch, self.policy, self.without = Simulated(), policy, without
        self.slots: dict[int, tuple[Region, Slot]] = {}
        self.programs: list[Program] = []
        self.steps: list[tuple[Any, str, int, dict[int, Slot]]] = []
        for kind, region in calls:
            number = region[0]
            if kind == "get":
                self.get(number)
            elif kind == "any" or number not in self.slots:
                self.set(region)
            else:
                self.set(like(self.slots[number][0], region, kind))

    def get(self, number: int) -> None:
        if self.scratch.logs(number):
            self.took(number, "get", Program(get_dirty_log(self.slots[number][1])))

    def set(self, region: Region) -> None:
        number, bits, base, npages, _ = region
        was = self.slots.get(number)
        if not self.scratch.set(region):
            self.steps.append((region, "refused", -1, self.alive()))
            return
        new = slot_of(region, len(self.programs))
        if npages == 0:
            assert was is not None
            del self.slots[number]
            self.took(region, "delete", today.update(Change((was[1],), ()), self.policy))
            return
        self.slots[number] = region, new
        if was is None:
            self.took(region, "create", today.update(Change((), (new,)), self.policy))
            return
        change = Change((was[1],), (new,))
        if base == was[0][2] and bits == was[0][1]:
            self.slots[number] = was
            self.steps.append((region, "no-op", -1, self.alive()))
            return
        api = flags if base == was[0][2] else move
        assert not api.refusal(change)
        program = api.update(change, self.policy)
        # As an API puts it into the sets: it may have taken over what the old one had.
        (installed,) = {e.new for op in program for e in op.edits if e.new and not e.new.is_invalid}
        self.slots[number] = region, installed
        self.took(region, "move" if api is move else "flags", program)

    def took(self, call: Any, what: str, program: Program) -> None:
        kept = tuple(op for op in program if op.step.__name__ != self.without)
        self.programs.append(Program(kept, program.name))
        self.steps.append((call, what, len(self.programs) - 1, self.alive()))

    def alive(self) -> dict[int, Slot]:
        return {number: slot for number, (_, slot) in self.slots.items()}

    def world(self) -> Ordered:
        # What is judged against a change means nothing here, so the change is any.
        change = Change((), (Slot("-", 0, 1), Slot("-", 0, 1, as_id=1)))
        programs = tuple(self.programs)
        return Ordered("plan", change, programs, (), vcpus=1, gfns=GFNS, policy=self.policy)


def agree(sequential: Sequential, simulated: Simulated, accesses: list[Access]) -> None:
    """Make the same accesses on both, and hold every answer of one against the other's."""
    for access in accesses:
        ours, (reason, page) = sequential.access(access), simulated.access(access)
        assert (ours.reason == "memory") == (reason == "done"), (access, ours, reason)
        if page is not None:
            assert access.gfn + int(ours.page) == page, (access, ours, page)


def agree_on_bitmaps(sequential: Sequential, simulated: Simulated, alive: dict[int, Slot]) -> None:
    for number, slot in alive.items():
        theirs = simulated.bitmap(number)
        assert slot.log == (theirs is not None)
        assert sequential.dirty(slot) == (theirs or frozenset()), slot


def compared(calls: list[Any], seed: int, policy: Policy, *, without: str = "") -> Counter[str]:
    """Make the calls on both; after each one, compare all that accesses and logs can tell.

    ``without`` names a step that all programs leave out.
    """
    plan = Plan(calls, policy, without)
    sequential, simulated = Sequential(plan.world()), Simulated()
    rng = random.Random(seed)
    for call, what, number, alive in plan.steps:
        if what == "get":
            log = simulated.vm.get_dirty_log(call)
            slot = alive[call]
            assert sequential.dirty(slot) == bits(log, slot.base_gfn)
        else:
            assert simulated.set(call) == (what != "refused")
        if number >= 0:
            sequential.run(sequential.update(number))
        agree_on_bitmaps(sequential, simulated, alive)
        some = [one for one in ACCESSES if not one.is_write or rng.random() < 0.3]
        agree(sequential, simulated, rng.sample(some, len(some)))
        agree_on_bitmaps(sequential, simulated, alive)
    broken = [name for name in sequential.failed if name.split()[0] in {"I1", "I7", "I8"}]
    assert not broken
    return Counter(what for _, what, _, _ in plan.steps)


numbers = st.builds(lambda as_id, slot: as_id << 16 | slot, st.integers(0, 1), st.integers(0, 1))
regions = st.integers(0, GFNS - 1).flatmap(
    lambda base: st.tuples(
        numbers,
        st.sampled_from([0, LOG, READONLY, LOG | READONLY]),
        st.just(base),
        st.integers(1, min(3, GFNS - base)),
        st.integers(0, 2),
    )
)
#: What differs from the slot that is there; where none is, the region is asked for as it stands.
calls = st.tuples(st.sampled_from(["any", "flags", "move", "delete", "get"]), regions)


@settings(max_examples=300)
@given(
    st.lists(calls, min_size=1, max_size=7),
    st.integers(0, 1 << 16),
    st.sampled_from([X86, X86_SLOT_ZAP, ARM64]),
)
def test_the_model_agrees_with_the_simulator_at_every_ioctl_boundary(calls, seed, policy):
    """Every access and every dirty bit after each whole ioctl.

    What the model cannot say is not asked. It has no errno: a call that the simulator refuses is no
    program. A hole is one outcome, whatever exit userspace sees; a READONLY slot's and a hole's
    MMIO write are told apart by the model alone. Reads that map a page map it
    to read only (``reads_mark_dirty`` off), and a walk of page tables is the simulator's load.
    Neither dirty rings nor manual protection are there.
    """
    compared(calls, seed, policy)


def drawn(seed: int) -> list[Any]:
    """Return calls that create, log, move and delete one slot, and try others."""
    rng = random.Random(seed)
    kinds = ["any", "flags", "get", "move", "flags", "delete", "any"]
    found = []
    for kind in kinds:
        base = rng.randrange(GFNS)
        pages = rng.randint(1, min(3, GFNS - base))
        found.append((kind, (rng.choice([0, 0, 0x10000]), 0, base, pages, rng.randrange(3))))
    return found


def test_the_comparison_meets_every_kind_of_ioctl():
    met: Counter[str] = Counter()
    for seed in range(30):
        met += compared(drawn(seed), seed, X86)

    assert min(met[what] for what in ("create", "delete", "move", "flags", "get", "refused")) >= 3


@pytest.mark.parametrize(
    ("step", "policy"),
    [
        ("edit_inactive", X86),
        ("publish", X86),
        ("zap_all", X86),
        ("zap_slot", ARM64),
        ("request_flush", ARM64),
        ("write_protect", X86),
        ("fetch_bitmap", X86),
    ],
)
def test_without_this_step_the_model_disagrees_with_the_simulator(step, policy):
    def all_compared() -> None:
        for seed in range(30):
            compared(drawn(seed), seed, policy, without=step)

    with pytest.raises((AssertionError, CheckError)):
        all_compared()


@pytest.mark.parametrize(
    "step", ["take_slots_lock", "begin_grace_period", "end_grace_period", "free"]
)
def test_one_actor_alone_never_misses_what_keeps_actors_apart(step):
    for seed in range(10):
        compared(drawn(seed), seed, X86, without=step)


@pytest.mark.parametrize(
    ("flag", "there"),
    [(LOG, {2}), (0, set())],
)
def test_bits_go_along_with_a_move_unless_logging_ends_with_it(flag, there):
    calls = [("any", (0, LOG, 0, 1, 0)), ("move", (0, flag, 2, 1, 0))]
    plan, simulated = Plan(calls, X86), Simulated()
    sequential = Sequential(plan.world())

    for call, what, number, alive in plan.steps:
        assert simulated.set(call)
        sequential.run(sequential.update(number))
        if what == "create":
            agree(sequential, simulated, [Access("store", 0)])
            assert sequential.dirty(alive[0]) == {0}

    assert [what for _, what, _, _ in plan.steps] == ["create", "move"]
    assert (simulated.bitmap(0) or set()) == there
    assert sequential.dirty(plan.alive()[0]) == there


OLD = Slot("old", 0, 2)
GONE = Change((OLD,), ())


def world(*programs: Program, change: Change = GONE, vcpus: int = 1) -> Ordered:
    return Ordered("small", change, programs, (), vcpus=vcpus, gfns=2)


def test_contents_are_what_the_programs_come_to_in_this_order():
    low = Slot("low", 0, 1)
    programs = today.update(GONE, X86), today.update(Change((), (low,)), X86)

    (found,) = world(*programs).contents

    assert set(map(str, found)) == {"{old}", "{old!}", "{}", "{low}"}


def test_an_access_tells_what_it_got_to():
    rom = Slot("rom", 1, 1, "R", readonly=True)
    change = Change((Slot("ram", 0, 1), rom), ())
    sequential = Sequential(world(today.update(GONE, X86), change=change))

    assert sequential.access(Access("store", 0)) == Outcome("memory", "A")
    assert sequential.access(Access("store", 0, "emulator")) == Outcome("memory", "A")
    assert sequential.access(Access("load", 1)) == Outcome("memory", "R")
    assert sequential.access(Access("store", 1)) == Outcome("readonly")
    assert sequential.access(Access("store", 1, "emulator")) == Outcome("readonly")


def test_whoever_waits_for_ever_is_told_with_what_came_before():
    sequential = Sequential(world(today.update(GONE, X86)))
    assert sequential.update().step()

    with pytest.raises(CheckError, match="waits for ever after no step"):
        sequential.run(sequential.update())


def test_a_step_that_waits_changes_nothing():
    sequential = Sequential(world(today.update(GONE, X86)))
    assert sequential.update().step()
    other = sequential.update()

    assert not other.step()
    assert not other.is_over
    sequential.m.slots_lock = False
    assert other.step()
    assert other.label == "mutex_lock(slots_lock)"


def test_a_fault_on_an_invalid_slot_is_retried_for_as_long_as_the_update_stands():
    sequential = Sequential(world(today.update(GONE, X86)))
    update = sequential.update()
    for label in update.labels():
        if label.startswith("swap"):
            break

    with pytest.raises(CheckError, match="over 1000 steps, .*INVALID, retry"):
        sequential.access(Access("load", 0))


def test_a_vcpu_stays_in_the_guest_until_an_update_has_to_wait_for_it():
    sequential = Sequential(world(today.update(GONE, X86)))
    sequential.access(Access("load", 0))
    (v,) = sequential.world.cpu
    assert sequential.m.mode[v] == "in"

    assert "all kicked vCPUs are out" in sequential.run(sequential.update())

    assert sequential.m.mode[v] == "out"
    assert sequential.access(Access("load", 0)) == Outcome("hole")
    assert sequential.failed == []
