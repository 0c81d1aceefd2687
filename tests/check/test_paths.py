from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslotlib.check import ModelError, Symmetric
from memslotlib.check.packing import Field, pack
from memslotlib.check.paths import Choice, Mark, Path, Read, Recorder

PACKING = pack([Field(2), Field(3), Field(0)])
STATE = PACKING.put(PACKING.put(0, 0, 2), 1, 5)


def begun(chosen=(), lines=None):
    recorder = Recorder(PACKING)
    recorder.begin(PACKING, STATE, list(chosen), [] if lines is None else lines)
    return recorder


def test_only_the_first_read_of_a_cell_is_noted():
    recorder = begun()

    assert [recorder.read(1), recorder.read(0), recorder.read(1)] == [5, 2, 5]
    assert recorder.log == [Read(1, 5), Read(0, 2)]


def test_what_was_written_is_read_back_and_no_read_of_the_state():
    recorder = begun()
    recorder.write(0, 3)

    assert recorder.read(0) == 3
    assert recorder.log == []
    assert recorder.written == {0: 3}


def test_a_cell_of_one_value_is_no_read_to_branch_on():
    recorder = begun()

    assert recorder.read(2) == 0
    assert recorder.log == []


def test_a_choice_of_one_is_no_choice_to_branch_on():
    recorder = begun()

    assert recorder.choose(1, None) == 0
    assert recorder.log == []
    assert recorder.next_choices() is None


def test_choices_are_given_first_and_then_the_first_possibility():
    recorder = begun(chosen=[2])
    of = Symmetric("cpu", 3)

    assert [recorder.choose(3, of), recorder.choose(2, None)] == [2, 0]
    assert recorder.log == [Choice(3, 2, of), Choice(2, 0, None)]


@given(st.lists(st.integers(1, 4), max_size=4))
def test_every_combination_of_choices_comes_once_and_in_order(counts):
    found = []
    chosen = []
    while chosen is not None:
        recorder = begun(chosen)
        found.append(tuple(recorder.choose(count, None) for count in counts))
        chosen = recorder.next_choices()

    assert found == list(itertools.product(*map(range, counts)))


def test_choices_that_depend_on_earlier_ones_are_all_found():
    found = []
    chosen = []
    while chosen is not None:
        recorder = begun(chosen)
        first = recorder.choose(3, None)
        found.append((first, recorder.choose(2, None)) if first == 1 else (first,))
        chosen = recorder.next_choices()

    assert found == [(0,), (1, 0), (1, 1), (2,)]


@pytest.mark.parametrize(
    "touch",
    [
        lambda r: r.read(2),
        lambda r: r.write(0, 1),
        lambda r: r.choose(1, None),
        lambda r: r.mark("a", "", False),
    ],
)
def test_the_line_that_first_touched_something_shared_is_remembered(touch):
    lines = []
    recorder = begun(lines=lines)
    lines += ["one", "two"]
    touch(recorder)
    lines.append("three")
    touch(recorder)

    assert recorder.first == 1


@pytest.mark.parametrize(
    ("touch", "what"),
    [
        (lambda r: r.write(0, 1), "writes"),
        (lambda r: r.choose(2, None), "chooses"),
        (lambda r: r.mark("a", "", False), "fails or reaches"),
    ],
)
def test_a_predicate_only_reads(touch, what):
    recorder = begun()
    recorder.is_predicate = True

    assert recorder.read(0) == 2
    with pytest.raises(ModelError) as error:
        touch(recorder)
    assert str(error.value) == f"a predicate {what}: it may only read"
    recorder.begin(PACKING, STATE, [], [])
    touch(recorder)


def test_beginning_again_forgets_everything():
    recorder = begun(chosen=[1])
    recorder.read(0), recorder.write(1, 0), recorder.choose(2, None)
    recorder.mark("a", "b", True)
    assert recorder.marks == [Mark("a", "b", True)]

    recorder.begin(PACKING, 0, [], [])

    assert (recorder.log, recorder.written, recorder.marks, recorder.counts) == ([], {}, [], [])
    assert (recorder.read(0), recorder.read(1), recorder.choose(2, None)) == (0, 0, 0)


def test_a_path_stops_if_any_of_its_marks_does():
    path = Path(0, (), 3, marks=(Mark("a", "", False), Mark("b", "", True)))

    assert path.stops
    assert not path._replace(marks=path.marks[:1]).stops
