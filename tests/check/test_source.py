from __future__ import annotations

import ast
import inspect
import linecache

import pytest
from check.models import model_of

from memslotlib.check import Actor, Model, ModelError, explore
from memslotlib.check.source import inner, parsed


def refusal(function):
    with pytest.raises(ModelError) as error:
        parsed(function)
    return error.value


def make(limit):
    def indented(m, me: int = limit, *, other: str = "a") -> None:
        """Have a docstring.

        Of three lines.
        """
        text = """two
        lines"""
        m.x = (limit, text)
        yield

    return indented


def test_the_tree_has_the_lines_of_the_file():
    node = parsed(make(1))
    lines, first = inspect.getsourcelines(make(1))

    assert node.name == "indented"
    assert node.lineno == first
    assert [first + n for n, line in enumerate(lines) if "yield" in line] == [node.body[-1].lineno]


def test_the_tree_is_without_what_is_evaluated_around_the_body():
    node = parsed(make(1))

    assert ast.unparse(node).splitlines()[0] == "def indented(m, me, *, other):"


def test_text_over_several_lines_says_what_it_says_in_the_file():
    assigned = parsed(make(1)).body[1]

    assert ast.literal_eval(assigned.value) == "two\n        lines"


def test_the_source_of_text_that_was_executed_cannot_be_read():
    names = {}
    exec("def made(m):\n    yield", names)

    error = refusal(names["made"])

    assert "the source of made cannot be read" in str(error)
    assert "define it in a file or in a notebook cell" in str(error)


def test_an_actor_without_source_is_named():
    names = {}
    exec("def made(m):\n    yield", names)

    with pytest.raises(ModelError, match="^made: the source of made cannot be read") as error:
        explore(model_of(names["made"]))
    assert error.value.actor == "made"


def test_a_generator_that_is_a_lambda_is_refused():
    error = refusal(lambda m: (yield))

    assert str(error).endswith("<lambda> is not written with def")


BEFORE = """\
def actor(m):
    m.x = m.y + 1
    yield "one"
"""


@pytest.mark.parametrize(
    "after",
    [
        BEFORE.replace("+", "-"),
        BEFORE.replace("1", "2"),
        BEFORE.replace("m.y", "m.x"),
        BEFORE.replace("one", "two"),
        BEFORE.replace("actor", "other"),
        BEFORE.replace('    yield "one"\n', '    yield "one"\n    yield "one"\n'),
        "x = 1\n" * 3,
        "\n" + BEFORE,
    ],
)
def test_a_file_that_changed_since_it_was_imported_is_refused(tmp_path, after):
    function = imported(tmp_path, BEFORE)
    (tmp_path / "model.py").write_text(after)
    linecache.checkcache()

    error = refusal(function)

    assert error.where == f"{tmp_path / 'model.py'}:1" or not error.where
    assert "actor" in str(error)


@pytest.mark.parametrize(
    "after",
    [BEFORE, BEFORE + "\n# more", BEFORE.replace("m.y + 1", "(m.y  +  1)  # why")],
)
def test_a_file_that_says_the_same_is_as_good(tmp_path, after):
    function = imported(tmp_path, BEFORE)
    (tmp_path / "model.py").write_text(after)
    linecache.checkcache()

    assert parsed(function).name == "actor"


def imported(folder, text):
    path = folder / "model.py"
    path.write_text(text)
    names = {"__name__": "model"}
    exec(compile(text, str(path), "exec"), names)
    return names["actor"]


def test_equal_functions_of_two_files_keep_their_own_files(tmp_path):
    files = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        function = imported(tmp_path / name, BEFORE)
        result = explore(Model("m", model_of(function).variables, [Actor(function)]))
        files.append(result.footprints[0].where)

    assert files == [f"{tmp_path / name / 'model.py'}:2" for name in ("one", "other")]


def test_a_local_class_and_private_names_in_it_do_not_look_like_a_change():
    def actor(m):
        class Local:
            __private = 1

            def method(self):
                return self.__private

        m.x = Local().method()
        yield

    assert parsed(actor).name == "actor"
    result = explore(model_of(actor))
    assert result.states == 2
    assert not list(result.uncovered)


def test_the_first_code_among_the_constants_is_the_function():
    module = compile("x = 1\ndef f(): return 2", "<text>", "exec")

    assert inner(module).co_name == "f"
