import hashlib

import pytest

from memslotlib.vmm.traces import (
    FOLDER,
    Kind,
    TraceError,
    Update,
    leave_holes,
    manifest,
    read,
)

ROWS = {row["file"]: row for row in manifest()}
HEAD = "# memslot-trace v1 | vmm=qemu 7.2.22 | host_kernel=6.1 | scenario=s\n# legend\n"
END = "# end: duration_s=1.5 records_lost=0\n"


def line(time, slot, gpa, size, hva, flags=0, as_id=0, ret=0):
    fields = f"as={as_id} slot={slot} flags={flags:#x} gpa={gpa:#x} size={size:#x} hva={hva:#x}"
    return f"{time} S tid=0 {fields} dur=10 ret={ret}\n"


@pytest.fixture
def trace(tmp_path):
    def made(*lines, end=END, head=HEAD):
        path = tmp_path / "a.trace"
        path.write_text(head + "".join(lines) + end)
        return read(path)

    return made


@pytest.mark.parametrize("name", ROWS)
def test_a_trace_counts_to_what_its_manifest_says(name):
    row, found = ROWS[name], read(FOLDER / name)
    holes = leave_holes(found)
    running = [
        leaves
        for leaves, one in zip(holes, found.transactions, strict=True)
        if found.runs_ns is not None and one[0].time_ns > found.runs_ns
    ]

    assert len(found.kinds) == row["ops"]
    assert len(found.transactions) == row["txns"]
    assert sum(holes) == row["lossy_txns"]
    assert sum(running) == row["lossy_txns_vcpus_running"]
    assert found.duration_s == row["duration_s"]
    assert found.header["scenario"] == row["scenario"]


def test_the_traces_are_those_of_the_manifest():
    for name, row in ROWS.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == row["sha256"], name


def test_an_update_is_told_by_the_slot_before_it(trace):
    found = trace(
        line(1, 0, 0x1000, 0x4000, 0x9000),
        line(2, 0, 0x1000, 0x4000, 0x9000),
        line(3, 0, 0x1000, 0x4000, 0x9000, flags=1),
        line(4, 0, 0x2000, 0x4000, 0x9000, flags=1),
        line(5, 0, 0, 0, 0),
        line(6, 0, 0x2000, 0x4000, 0x9000),
        # Another space has a slot 0 of its own.
        line(7, 0, 0x2000, 0x4000, 0x9000, as_id=1),
    )

    names = [kind.value for kind in found.kinds]
    assert names == ["create", "no-op", "flags", "move", "delete", "create", "create"]


def test_what_kvm_refuses_is_no_kind():
    slot = Update(1, 0, 0, 0, 0x1000, 0x4000, 0x9000, 10)
    bigger = Update(2, 0, 0, 0, 0x1000, 0x8000, 0x9000, 10)
    with pytest.raises(ValueError, match="slot 0 changes its size or hva"):
        bigger.kind(slot)
    assert bigger.kind(None) is Kind.CREATE


RAM = line(1, 0, 0x0, 0x8000, 0x10000)
GONE = line(3, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("change", "leaves"),
    [
        # Split in two, and a part kept: these pages were away.
        ((GONE, line(4, 0, 0, 0x4000, 0x10000), line(5, 1, 0x4000, 0x4000, 0x14000)), True),
        ((GONE, line(4, 0, 0, 0x4000, 0x10000)), True),
        # No page has the same memory before and after.
        ((GONE,), False),
        ((GONE, line(4, 0, 0, 0x8000, 0x90000)), False),
        ((line(4, 1, 0x8000, 0x1000, 0x40000),), False),
        # The same memory, but in the other address space.
        ((GONE, line(4, 0, 0, 0x8000, 0x10000, as_id=1)), False),
    ],
)
def test_a_hole_is_where_a_page_goes_that_stays(trace, change, leaves):
    found = trace("0 T topology-commit\n", RAM, "2 T topology-commit\n", *change)

    assert leave_holes(found) == [False, leaves]


def test_two_transactions_leave_no_hole_together(trace):
    # Each for itself: what comes back in the next one was not there after the first.
    found = trace(RAM, "2 T x\n", GONE, "4 T x\n", line(5, 0, 0, 0x8000, 0x10000))
    assert leave_holes(found) == [False, False, False]


def test_vcpus_run_from_the_first_entry_on(trace):
    assert trace(RAM).runs_ns is None
    assert trace(RAM, "7 F vcpu=1 x\n", "9 F vcpu=0 x\n").runs_ns == 7


@pytest.mark.parametrize(
    ("lines", "given", "says"),
    [
        ((), {"head": "# something else\n"}, "a.trace:1: does not begin"),
        ((RAM,), {"end": ""}, "a.trace:3: was cut"),
        (("x S as=0\n",), {}, "a.trace:3: invalid literal"),
        (("1 S tid=0 as=0\n",), {}, "a.trace:3: 'ret'"),
        ((line(1, 0, 0, 0x1000, 0, ret=-22),), {}, "a.trace:3: an update that failed: -22"),
    ],
)
def test_a_broken_trace_is_named_with_its_line(trace, lines, given, says):
    with pytest.raises(TraceError, match=says):
        trace(*lines, **given)
