"""Programs: what they print, and the mutants that they have."""

from __future__ import annotations

from memslotlib.protocol.kernel import LOCK, RETURN, UNLOCK, replace
from memslotlib.protocol.program import Op, Program
from memslotlib.protocol.slots import Edit, Slot

OLD = Slot("old", 0, 1)
EDIT = replace(OLD, OLD.invalid)
PROGRAM = Program((LOCK, EDIT, EDIT, UNLOCK), "small")


def test_a_step_says_its_name_and_what_it_is_done_to():
    assert str(LOCK) == "take slots lock"
    assert str(EDIT) == "edit inactive old by old!"


def test_only_edits_of_sets_are_a_steps_edits():
    assert list(EDIT.edits) == [Edit(OLD, OLD.invalid)]
    assert list(LOCK.edits) == []
    assert list(Op(UNLOCK.step, (OLD,)).edits) == []


def test_a_program_is_its_steps_in_order():
    assert list(PROGRAM) == [LOCK, EDIT, EDIT, UNLOCK]
    assert PROGRAM[3] == UNLOCK
    assert str(PROGRAM) == "small"
    assert PROGRAM.text.splitlines()[1] == " 2 edit inactive old by old!"


def test_a_program_is_itself_alone():
    assert Program(PROGRAM.ops, "small") != PROGRAM
    assert len({PROGRAM, Program(PROGRAM.ops, "small")}) == 2


def test_without_leaves_one_step_out_and_says_which():
    mutant = PROGRAM.without(3)

    assert mutant.ops == (LOCK, EDIT, EDIT)
    assert mutant.name == "without 4: release slots lock"


def test_swapped_exchanges_a_step_and_the_next_one():
    mutant = PROGRAM.swapped(2)

    assert mutant.ops == (LOCK, EDIT, UNLOCK, EDIT)
    assert mutant.name == "4 before 3: release slots lock"


def test_mutants_are_all_deletions_and_the_exchanges_of_neighbours_that_differ():
    mutants = list(PROGRAM.mutants)

    assert [one.name.split(":")[0] for one in mutants] == [
        "without 1",
        "without 2",
        "without 3",
        "without 4",
        "2 before 1",
        "4 before 3",
    ]
    assert all(one.ops != PROGRAM.ops for one in mutants)


def test_marks_of_a_model_have_no_mutants():
    program = Program((LOCK, RETURN, UNLOCK))

    assert [one.ops for one in program.mutants] == [(RETURN, UNLOCK), (LOCK, RETURN)]


def test_the_shortest_programs_have_mutants_too():
    assert [one.ops for one in Program((LOCK,)).mutants] == [()]
    assert list(Program(()).mutants) == []
