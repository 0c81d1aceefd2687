"""The models that are too strong: each is refuted, and each is a model of an update still."""

import pytest

from memslotlib.check import explore
from memslotlib.evidence import DATA, newest, read
from memslotlib.protocol.apis import APIS
from memslotlib.protocol.world import X86
from memslotlib.too_strong import ENTRIES, assert_refuted, refuted
from memslotlib.too_strong.changes import LANDS, WAITS
from memslotlib.verdict import Word


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_the_unchanged_model_allows_what_the_changed_one_excludes_and_a_host_showed(entry):
    found = refuted(entry)

    assert_refuted(found)
    assert (found.base.word, found.changed.word) == (Word.VIOLATED, Word.HOLDS)
    assert found.host.hits > 0


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_the_changed_model_still_updates_and_gets_to_memory(entry):
    found = explore(entry.changed, traces=False)

    assert found.is_complete
    assert found.vacuous == ()
    assert found.verdicts["I10 nobody waits for ever"].verdict.word is Word.HOLDS


def test_there_are_ten_and_they_differ():
    assert len(ENTRIES) >= 10
    assert len({entry.changed.digest for entry in ENTRIES.values()}) == len(ENTRIES)
    assert {entry.keeps for entry in ENTRIES.values()} == {"I3a", "I3b", "I5", LANDS, WAITS}


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_an_entry_is_about_the_api_and_the_way_of_access_that_was_recorded(entry):
    assert entry.seen.parameters["api"] == entry.api
    accesses = {one.via for one in entry.world(APIS[entry.api], X86).accesses}
    native = entry.seen.parameters["context"] == "long64-cpl3"
    assert ("guest" if native else "emulator") in accesses
    assert newest(read(DATA / entry.seen.file), entry.seen.experiment, **entry.seen.parameters)
