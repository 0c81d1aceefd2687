import pytest

from memslotlib.errors import MemslotError, NotRunError
from memslotlib.host import arena as arenas
from memslotlib.host.arena import NoProgressError, UnclaimedError, arena
from memslotlib.host.loops import Word
from memslotlib.host.runner import ExitRecord
from memslotlib.interface import Context
from memslotlib.uapi import ExitReason

from .conftest import GPA, a_scenario

TARGET = GPA + 0x2000


def an_exit(reason, gpa=TARGET, is_write=False, suberror=0):
    return ExitRecord(1, reason, gpa, 4, is_write, suberror)


READ, WRITE = an_exit(ExitReason.MMIO), an_exit(ExitReason.MMIO, is_write=True)
FAILED = an_exit(ExitReason.INTERNAL_ERROR, suberror=1)


@pytest.mark.parametrize(
    ("access", "record", "claimed"),
    [
        ("load", READ, True),
        ("load", an_exit(ExitReason.MMIO, TARGET + 0xFFF), True),
        ("load", an_exit(ExitReason.MMIO, TARGET + 0x1000), False),
        ("load", WRITE, False),
        ("load", an_exit(ExitReason.SHUTDOWN), False),
        ("load", FAILED, False),
        ("store", WRITE, True),
        ("store", READ, False),
        ("fetch", FAILED, True),
        ("fetch", an_exit(ExitReason.INTERNAL_ERROR, suberror=3), False),
        ("fetch", an_exit(ExitReason.INTERNAL_ERROR, 0xE000_1800, suberror=1), False),
        ("fetch", an_exit(ExitReason.SHUTDOWN, 0), True),
        ("fetch", READ, False),
    ],
)
def test_a_scenario_claims_only_what_its_access_gets_in_a_hole(access, record, claimed):
    assert a_scenario(access).claims(record, TARGET) is claimed


@pytest.mark.needs_kvm
def test_an_exit_that_nothing_explains_ends_the_run_and_is_named(backend, leaks):
    def stray():
        with arena(a_scenario(), Context.LONG64_CPL3, backend) as made:
            made.words[Word.AT] = 0x3000_0000
            made.wait(lambda: made.met)
            made.take()

    leaks()
    with pytest.raises(UnclaimedError, match=r"\d+ times mmio read at 0x30000000, suberror 0"):
        stray()
    assert leaks() == {}


@pytest.mark.needs_kvm
def test_a_load_of_something_else_without_an_exit_ends_the_run(backend):
    def swap():
        with arena(a_scenario(), Context.LONG64_CPL3, backend) as made:
            made.vm.memory(0x2000_0000_2000, 1)[0] = 7
            made.wait_for_progress()
            made.settle()

    with pytest.raises(UnclaimedError, match=r"something else than the content [1-9]\d* times; 0"):
        swap()


@pytest.mark.needs_kvm
@pytest.mark.parametrize("context", Context, ids=lambda context: context.value)
@pytest.mark.parametrize("access", ["load", "store", "fetch"])
def test_a_guest_left_alone_overlaps_nothing_and_meets_nothing(backend, context, access):
    with arena(a_scenario(access), context, backend) as made:
        before = made.heartbeat
        assert made.settle() == {}
        assert made.heartbeat >= before + 2
        assert made.overlapping == 0
        made.words[Word.PHASE] += 1
        made.settle()
        assert made.overlapping > 0


@pytest.mark.needs_kvm
def test_a_guest_without_progress_is_reported_in_time(backend, monkeypatch, leaks):
    monkeypatch.setattr(arenas, "WAIT_LIMIT_S", 0.2)
    # jmp . : it runs, and counts nothing.
    monkeypatch.setattr(arenas.loops, "loop", lambda access, context: b"\xeb\xfe")
    leaks()

    with (
        pytest.raises(NoProgressError, match=r"no progress in 0\.2 s \(access 0, 0 exits\)"),
        arena(a_scenario(), Context.LONG64_CPL3, backend),
    ):
        pass

    assert issubclass(NoProgressError, NotRunError)
    assert leaks() == {}


@pytest.mark.needs_kvm
def test_a_vcpu_that_stops_by_itself_is_reported(backend, monkeypatch):
    monkeypatch.setattr(arenas.loops, "loop", lambda access, context: b"\xe6\xe6")

    with (
        pytest.raises(MemslotError, match="stopped by itself: exit reason 2"),
        arena(a_scenario(), Context.LONG64_CPL3, backend),
    ):
        pass
