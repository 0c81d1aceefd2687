"""What vCPUs are watched for disturbs nothing; and a change that is nearly the same is not it."""

from dataclasses import replace

from memslotlib.check import explore
from memslotlib.protocol.apis import APIS
from memslotlib.protocol.kernel import publish
from memslotlib.protocol.model import model
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.vcpu import kvm_access, lookup
from memslotlib.protocol.world import X86
from memslotlib.too_strong import ENTRIES, refuted
from memslotlib.too_strong.changes import (
    bitmap_carried,
    kvm_access_retried,
    make_before_break,
)

LANDS = ENTRIES["Translations die when INVALID is published"]
GAP = ENTRIES["KVM's own accesses are retried until there is a slot"]


def test_a_watched_model_says_the_same_of_every_property():
    plain = explore(model(LANDS.world(APIS[LANDS.api], X86)), traces=False)
    watched = explore(LANDS.base, traces=False)

    assert watched.states >= plain.states
    for name, one in plain.verdicts.items():
        assert watched.verdicts[name].verdict.word is one.verdict.word, name


def test_to_retry_on_invalid_alone_leaves_the_hole_where_there_is_no_slot():
    found = refuted(replace(GAP, steps={kvm_access: kvm_access_retried}))

    assert found.failure == "the changed model does not exclude it: VIOLATED"


def publish_and_forget_only(m, w, as_id):
    m.active[as_id] = 1 - m.active[as_id]
    for gfn in range(w.gfns):
        slot = lookup(m, as_id, gfn)
        if slot is not None and slot.is_invalid:
            m.spte[w.at(as_id, gfn)] = w.entries[0]
            for v in w.cpu:
                m.tlb[v, w.at(as_id, gfn)] = w.entries[0]
    yield f"swap active set of as_id {as_id}"


def test_a_fault_in_flight_maps_what_was_forgotten():
    found = refuted(replace(LANDS, steps={publish: publish_and_forget_only}))

    assert found.failure == "the changed model does not exclude it: VIOLATED"


def test_what_comes_takes_over_the_bitmap_of_each_frame():
    old, short = Slot("old", 1, 3, log=True), Slot("short", 1, 2, log=True)
    program = bitmap_carried(Change((old,), (short,)), X86, None)

    come = [edit.new for op in program for edit in op.edits if edit.new and not edit.old]
    assert {one.bitmap for one in come} == {("old", "old")}


def test_make_before_break_creates_first():
    old, new = Slot("old", 1, 3), Slot("new", 1, 3, "B")
    program = make_before_break(Change((old,), (new,)), X86, None)

    edits = [edit for op in program for edit in op.edits]
    assert (edits[0].old, edits[0].new) == (None, new)
    assert edits[-1].new is None
