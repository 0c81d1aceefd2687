from dataclasses import replace

import pytest

from memslotlib.check import Actor, Bounds, CheckError, Int, Model, explore, never, sometimes
from memslotlib.check.examples import increment, peterson, two_phase_commit
from memslotlib.views.results import (
    coverage_table,
    diff_table,
    footprint_table,
    result_table,
    why_table,
)

RESULT = """\
increment: 8 states, 10 generated, depth 5; every interleaving, up to
permutations of thread

property        sort         verdict   first after  events
--------------  -----------  --------  -----------  ------
no lost update  never        VIOLATED      4 steps       1
both added      sometimes    HOLDS         4 steps       1
no deadlock     no deadlock  HOLDS                       0
"""

FOOTPRINTS = """\
increment: what each micro-step may touch

actor    line            step   may read       may write
-------  --------------  -----  -------------  -------------
add_one  examples.py:L1  load   counter        seen[0]
add_one  examples.py:L2  store  done, seen[0]  counter, done
"""

WHY = """\
Step 4, add_one0: store: what it read, and who wrote that last

read     value  written by  which was
-------  -----  ----------  --------------------------------------------
seen[0]  0                  (initial value)
done     1      step 3      add_one1  store  counter 0 -> 1; done 0 -> 1
"""

DIFF = """\
The runs part at step 4

step  peterson: mutual exclusion is     peterson: thread 1 enters after
      broken after 6 steps              3 steps
----  --------------------------------  --------------------------------
   1  thread1  want  wants[1] False ->  the same
      True
   2  thread1  give way                 the same
   3  thread1  enter  inside[1] False   the same
      -> True
   4  thread0  want  wants[0] False ->  (ended)
      True
"""


@pytest.fixture(scope="module")
def result():
    return explore(increment())


@pytest.fixture(scope="module")
def broken():
    return explore(peterson(forgets_turn=True))


def text(table):
    return "".join(f"{line.rstrip()}\n" for line in table.text.splitlines())


def never_run(limit=1):
    def actor(m):
        m.n += 1
        yield "count"
        if m.n > limit:
            m.fail("more")
            yield "never"

    return Model("dead code", {"n": Int(3)}, [Actor(actor)], [never("more")])


def test_a_result_is_a_row_for_each_property(result):
    assert text(result_table(result)) == RESULT


def test_the_verdict_of_a_bounded_search_is_undetermined_and_the_bound_is_named():
    table = result_table(explore(two_phase_commit(2), bounds=Bounds(depth=2)))

    assert [row[2].text for row in table.rows] == ["UNDETERMINED"] * 3
    assert "bound on depth reached" in table.caption


def test_a_violation_in_the_first_step_is_after_one_step():
    def actor(m):
        m.fail("it")
        yield

    model = Model("at once", {"n": Int(2)}, [Actor(actor)], [never("it"), sometimes("n")])
    rows = result_table(explore(model)).rows

    assert [row[3].text for row in rows] == ["1 step", ""]


def test_a_sample_is_not_called_an_exploration(result):
    assert "10 sampled" in result_table(replace(result, samples=10)).caption


def test_lines_that_no_path_ran_are_listed_without_the_folders_they_are_in():
    table = coverage_table(explore(never_run()))

    assert table.caption == "dead code: 2 of 5 lines never ran"
    assert [row[1] for row in table.rows] == ['m.fail("more")', 'yield "never"']
    assert all(row[0].startswith("test_results.py:") for row in table.rows)


def test_where_every_line_ran_a_row_says_so(result):
    table = coverage_table(result)

    assert table.caption == "increment: 0 of 7 lines never ran"
    assert table.rows == [("none", "every line of the actors ran")]


def test_files_of_one_name_keep_the_folder_that_tells_them_apart(result):
    (lines,) = explore(never_run()).coverage.values()
    other = replace(result)
    vars(other)["coverage"] = {"/x/a/m.py": lines, "/x/b/m.py": lines, "/x/n.py": lines}

    names = [row[0].partition(":")[0] for row in coverage_table(other).rows]
    assert list(dict.fromkeys(names)) == ["a/m.py", "b/m.py", "n.py"]


def test_a_footprint_is_a_row_for_each_step_and_none_for_having_returned(result):
    lines = [one.where.rpartition(":")[2] for one in result.footprints]
    golden = FOOTPRINTS.replace("L1", lines[0]).replace("L2", lines[1])

    assert text(footprint_table(result)) == golden


def test_a_step_without_label_is_named_by_its_source():
    def actor(m):
        m.n = 1
        yield

    model = Model("plain", {"n": Int(2)}, [Actor(actor)])
    (row, *_) = footprint_table(explore(model)).rows

    assert row[2:] == ("m.n = 1", "nothing", "n")


def test_why_names_the_last_writer_of_everything_that_the_last_step_read(result):
    assert text(why_table(result.trace())) == WHY


def test_why_takes_any_step_and_says_when_it_read_nothing(broken):
    trace = broken.trace()

    table = why_table(trace, 2)
    assert table.caption.startswith("Step 2, thread1: give way")
    assert table.rows == [("", "", "", "it reads nothing that is shared")]
    assert why_table(trace, 6).rows == why_table(trace).rows != why_table(trace, 3).rows


@pytest.mark.parametrize("step", [7, -1])
def test_a_step_that_is_not_there_is_refused(broken, step):
    with pytest.raises(CheckError, match="the trace has steps 1 to 6"):
        why_table(broken.trace(), step)


def test_two_runs_stand_side_by_side_up_to_where_they_part(broken):
    assert text(diff_table(broken.trace(), broken.trace("thread 1 enters"))) == DIFF


def test_the_run_that_ends_first_may_be_either(broken):
    table = diff_table(broken.trace("thread 1 enters"), broken.trace())

    assert table.rows[-1] == (4, "(ended)", "thread0  want  wants[0] False -> True")


def test_runs_that_part_at_once_have_one_row(broken):
    table = diff_table(broken.trace("thread 0 enters"), broken.trace("thread 1 enters"))

    assert table.caption == "The runs part at step 1"
    assert [row[0] for row in table.rows] == [1]


def test_runs_that_are_the_same_say_so(broken):
    table = diff_table(broken.trace(), broken.trace())

    assert table.caption == "The runs are the same: 6 steps"
    assert [row[2] for row in table.rows] == ["the same"] * 6
