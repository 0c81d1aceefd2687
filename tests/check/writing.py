"""Actors that Hypothesis writes: source text, the functions in it, and two ways to run them."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st

from memslotlib.check import Actor, Array, Int, Model
from memslotlib.check.shared import Blocked, view
from memslotlib.check.stepping import LocalState, Stepper

_FOLDER = tempfile.TemporaryDirectory(prefix="written-actors-")
_numbers = itertools.count()

#: The most reads, writes and choices of one micro-step, and micro-steps of one run.
OPERATIONS_MAX = 40
STEPS_MAX = 25

Pick = Callable[[tuple[Any, ...]], Any]


def load(text: str) -> SimpleNamespace:
    """Return what a module with this text defines; the text lies in a file of its own."""
    path = Path(_FOLDER.name) / f"written{next(_numbers)}.py"
    path.write_text(text, encoding="utf-8")
    names: dict[str, Any] = {"__name__": path.stem}
    exec(compile(text, str(path), "exec", dont_inherit=True), names)
    return SimpleNamespace(**names)


def model_of(*actors: Callable[..., Any], **more: Any) -> Model:
    """Return a model with the variables that written actors know."""
    variables = {"x": Int(3), "y": Int(2), "z": Array(Int(3), 2)}
    return Model(
        "written", variables, [Actor(a, name=f"a{n}") for n, a in enumerate(actors)], **more
    )


class Writer:
    """Writes one function after the other, drawing what stands in them.

    A ``tame`` one binds every variable at the beginning, raises nothing, and has a ``yield`` in
    every loop, so that the explorer can run it.
    """

    def __init__(self, pick: Pick, *, tame: bool) -> None:
        self._pick, self.tame = pick, tame
        self.helpers: list[str] = []
        self.variables = ["a", "b", "c"]
        self.nested: list[str] = []
        self.is_helper = False

    def pick(self, *options: Any) -> Any:
        """Return one of the options."""
        return self._pick(options)

    def name(self) -> str:
        """Return a local variable."""
        return str(self.pick(*self.variables))

    def value(self, depth: int = 2) -> str:
        """Return an expression for a small number."""
        leaves = [
            *"0123",
            *self.variables,
            *self.variables,
            "m.x",
            "m.y",
            f"m.z[{self.pick(0, 1)}]",
        ]
        kinds = ["leaf"] * 4 + ["array"]
        if depth:
            kinds += ["sum", "choose", "compare", "walrus", "list", "lambda", "if", "element"]
            kinds += ["nested"] * 2 if self.nested else []
        kind = self.pick(*kinds)
        if kind == "leaf":
            return str(self.pick(*leaves))
        if kind == "array":
            return str(self.pick("(1 in d)", "len([i for i in d if i])", "d[0]", "[*d][1]"))
        one = self.value(depth - 1)
        if kind == "choose":
            return "m.choose(2)"
        if kind == "walrus":
            return f"({self.name()} := {one} % 3)"
        if kind == "list":
            inside = self.pick("i", f"i + {self.name()}", f"({self.name()} := i)")
            return f"sum([{inside} for i in range({self.name()} % 3)])"
        if kind == "lambda":
            return f"(lambda k: k + {self.name()})({one})"
        if kind == "element":
            return f"m.z[{one} % 2]"
        if kind == "nested":
            return str(self.pick("peek()", f"bump({one})", "bump()"))
        other = self.value(depth - 1)
        if kind == "if":
            return f"({one} if {self.value(depth - 1)} else {other})"
        return f"({one} {self.pick('+') if kind == 'sum' else self.pick('<', '==', 'and')} {other})"

    def block(self, depth: int, *, loop: bool = False, first: str = "") -> list[str]:
        """Return the lines of a few statements."""
        lines = [first] if first else []
        for _ in range(self.pick(*range(0 if first else 1, 4))):
            lines += self.statement(depth, loop=loop)
        return lines

    def statement(self, depth: int, *, loop: bool) -> list[str]:
        """Return the lines of a statement."""
        kinds = ["yield"] * 4 + ["assign"] * 3 + ["write"] * 2 + ["plain"] * 2
        kinds += ["jump"] * 2 if loop else []
        kinds += ["from"] * 2 if self.helpers else []
        if depth:
            kinds += ["if", "if", "while", "for", "for", "match", "try"]
        kind = self.pick(*kinds)
        return getattr(self, f"_{kind}")(depth, loop)

    def _yield(self, depth: int, loop: bool) -> list[str]:
        return [self.pick("yield", "yield 'label'", f"yield {self.value()}")]

    def _assign(self, depth: int, loop: bool) -> list[str]:
        name, other = self.name(), self.name()
        return [
            self.pick(
                f"{name} = {self.value()} % 3",
                f"{name} += {self.value()}; {name} %= 3",
                f"{name}: int = {self.value()} % 3",
                f"{name}, {other} = {other}, {self.value()} % 3",
                f"[{name}, {other}] = [{self.value()} % 3, {self.value()} % 3]",
            )
        ]

    def _write(self, depth: int, loop: bool) -> list[str]:
        place, size = self.pick(("m.x", 3), ("m.y", 2), (f"m.z[{self.value(1)} % 2]", 3))
        return [f"{place} = {self.value()} % {size}"]

    def _plain(self, depth: int, loop: bool) -> list[str]:
        options: list[list[str]] = [
            [f"{self.value()}"],
            [f"m.wait({self.pick(1, self.value())})"],
            [f"with nullcontext({self.value()} % 3) as {self.name()}:", f"    {self.name()} = 1"],
            [
                "if m.y:",
                "    def inner():",
                f"        return {self.name()}",
                "    m.y = inner() % 2",
            ],
            [f"for {self.name()} in range(m.choose(2)):", *_indented(self._write(0, False))],
            [f"for {self.name()} in d:", f"    {self.name()} = 2"],
            [f"{self.name()}, {self.name()} = d"],
            ["pass"],
        ]
        if self.is_helper:
            options.append([f"return {self.value()}"])
        else:
            options.append(["if m.y > m.x:", "    return"])
        if not self.tame:
            options += [[f"del {self.name()}"]] * 2
        return self.pick(*options)

    def _jump(self, depth: int, loop: bool) -> list[str]:
        word = self.pick("break", "continue")
        return self.pick([word], [f"if {self.value()}:", f"    {word}"])

    def _from(self, depth: int, loop: bool) -> list[str]:
        call = f"yield from {self.pick(*self.helpers)}(m, {self.value()}"
        call += self.pick("", f", {self.value()}", f", q={self.value()}", f", *({self.value()},)")
        call += ")"
        options = [call, f"{self.name()} = {call}", f"{self.name()}: int = {call}"]
        if not self.tame:
            # None is no number, and a tame actor may not raise.
            options.append(f"return ({call})")
        else:
            options = options[:1]
        return [self.pick(*options)]

    def _if(self, depth: int, loop: bool) -> list[str]:
        lines = [f"if {self.value()}:", *_indented(self.block(depth - 1, loop=loop))]
        if self.pick(True, False):
            lines += [f"elif {self.value()}:", *_indented(self.block(depth - 1, loop=loop))]
        if self.pick(True, False):
            lines += ["else:", *_indented(self.block(depth - 1, loop=loop))]
        return lines

    def _else(self, depth: int, loop: bool) -> list[str]:
        if self.pick(True, False, False):
            return ["else:", *_indented(self.block(depth - 1, loop=loop))]
        return []

    def _while(self, depth: int, loop: bool) -> list[str]:
        # A test that reads something shared ends when the operations of a step are used up.
        test = self.pick("m.x < 2", f"m.y + {self.value()}", "m.x >= 0", "True")
        first = "yield" if self.tame else self.pick("m.x", "yield")
        inside = self.block(depth - 1, loop=True, first=first)
        return [f"while {test}:", *_indented(inside), *self._else(depth, loop)]

    def _for(self, depth: int, loop: bool) -> list[str]:
        rows = self.pick(
            f"range({self.value()} % 3)", f"({self.value()}, 1)", f"[2, {self.value()}]"
        )
        target = self.name()
        if self.pick(True, False, False):
            target, rows = f"{target}, {self.name()}", f"((0, 1), (2, {self.value()}))"
        inside = self.block(depth - 1, loop=True)
        inside = [f"{n} %= 3" for n in target.split(", ")] + inside
        return [f"for {target} in {rows}:", *_indented(inside), *self._else(depth, loop)]

    def _match(self, depth: int, loop: bool) -> list[str]:
        name = self.name()
        subject = self.pick(f"({self.value()} % 3, {self.value()} % 3)", f"{self.value()} % 3")
        patterns = ["0", "1 | 2", f"(0, {name})", f"({name}, 1)", "m.x"]
        # What a star binds is a list, which is not kept over a yield.
        patterns += [] if self.tame else [f"[1, *{name}_rest]"]
        lines = [f"match {subject}:"]
        for _ in range(self.pick(1, 2, 3)):
            guard = self.pick("", f" if {self.value()}")
            lines += [f"    case {self.pick(*patterns)}{guard}:"]
            lines += _indented(_indented(self.block(depth - 1, loop=loop)))
        if self.pick(True, False):
            lines += ["    case _:", *_indented(_indented(self.block(depth - 1, loop=loop)))]
        return lines

    def _try(self, depth: int, loop: bool) -> list[str]:
        name = self.name()
        if self.tame:
            return [
                "try:",
                f"    {name} = 2 // {self.name()}",
                "except ZeroDivisionError:",
                "    pass",
            ]
        return [
            "try:",
            f"    {name} = 2 // {self.name()} % 3",
            self.pick("except ZeroDivisionError:", f"except ZeroDivisionError as {self.name()}:"),
            *_indented(self.pick([f"del {name}"], ["m.x = 1"], ["return"])),
            self.pick("finally:", "else:"),
            f"    {self.name()} = 1",
        ]

    def function(self, name: str, parameters: str) -> list[str]:
        """Return the lines of a whole function; a later one may call it."""
        self.is_helper = bool(parameters)
        self.nested = []
        self.variables = ["a", "b", "c", *(["p", "q"] if parameters else [])]
        bound = (
            ["a = 0", "b = 0", "c = 0"]
            if self.tame
            else self.pick(*[["a = b = c = 1"]] * 4, ["b = 1"])
        )
        top: list[str] = []
        if not self.is_helper and self.pick(True, False):
            # Their bodies first: a nested function does not call the others.
            peek, bump = self.value(1), self.value(1).replace(":=", "<")
            peek = peek.replace(":=", "<")
            top = ["def peek():", f"    return {peek}", "def bump(k=1):", "    nonlocal b"]
            top += [f"    b = (b + k + {bump}) % 3", "    return b"]
            self.nested = ["peek", "bump"]
        bound = ["d = m.z", *bound]
        body = self.block(3)
        if not any("yield" in line for line in body):
            body = self.pick([*body, "yield"], ["yield 'only'", *body])
        order = self.pick([*top, *bound], [*bound, *top])
        return [f"def {name}(m{parameters}):", *_indented([*order, *body])]


def _indented(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]


def module_text(pick: Pick, *, tame: bool = False, actors: int = 1) -> str:
    """Return the text of a module with ``actor0``, ``actor1`` and so on, and helpers of theirs."""
    writer = Writer(pick, tame=tame)
    lines = ["from contextlib import nullcontext", ""]
    for number in range(writer.pick(0, 1, 2)):
        lines += [*writer.function(f"helper{number}", ", p, q=1"), ""]
        writer.helpers.append(f"helper{number}")
    for number in range(actors):
        lines += [*writer.function(f"actor{number}", ""), ""]
    return "\n".join(lines)


@st.composite
def written(draw: Any, *, tame: bool = False, actors: int = 1) -> str:
    """Return the text of such a module."""
    return module_text(lambda options: draw(st.sampled_from(options)), tame=tame, actors=actors)


class TooLong(BaseException):
    """A micro-step did not end within the operations that it has."""


class Script:
    """A port to a state that is there; it notes what happens, and chooses as it is told."""

    own = None

    def __init__(self, codes: list[int], choices: int) -> None:
        self.codes, self.choices = list(codes), choices
        self.log: list[tuple[Any, ...]] = []

    def _note(self, *what: Any) -> None:
        self.log.append(what)
        if len(self.log) > OPERATIONS_MAX:
            raise TooLong

    def read(self, cell: int) -> int:
        self._note("read", cell, self.codes[cell])
        return self.codes[cell]

    def write(self, cell: int, code: int) -> None:
        self._note("write", cell, code)
        self.codes[cell] = code

    def choose(self, count: int, of: Any) -> int:
        self._note("choose", count)
        self.choices, chosen = divmod(self.choices, count) if self.choices else (0, 0)
        return chosen

    def mark(self, name: str, message: str, stop: bool) -> None:
        self._note("mark", name, message, stop)


def outcome(port: Script, run: Callable[[], Any]) -> tuple[Any, ...]:
    """Return what one micro-step did and how it ended: its operations, then the end."""
    port.log = []
    try:
        said = run()
    except Blocked:
        said = "waits"
    except TooLong:
        said = "endless"
    except StopIteration:
        said = "returned"
    except NameError:
        said = "unbound"
    except Exception as error:
        said = type(error).__name__
    return (*port.log, said)


def plain_run(
    actor: Callable[..., Any], codes: list[int], choices: int, *, skips: bool
) -> list[tuple[Any, ...]]:
    """Run the generator as Python does; ``skips`` when its first yield comes before any step."""
    model = model_of(actor)
    port = Script(codes, choices)
    generator = actor(view(model, port))
    found: list[tuple[Any, ...]] = []
    if skips:
        found.append(outcome(port, lambda: next(generator)))
        assert len(found[0]) == 1, "what comes before the first step touches something shared"
        if found.pop()[-1] in ("returned", "unbound"):
            return [("returned",)]
    for _ in range(STEPS_MAX):
        found.append(outcome(port, lambda: next(generator)))
        if generator.gi_frame is None:
            break
    return found


class Visit:
    """A micro-step made from a stored local state, with all that is needed to make it again."""

    def __init__(self, stepper: Stepper, port: Script, local: LocalState) -> None:
        self.stepper, self.port, self.local = stepper, port, local
        self.codes, self.choices = list(port.codes), port.choices
        self.after: LocalState = ()
        self.first = self.again()

    def again(self) -> tuple[Any, ...]:
        """Make it again; return what it did and where it ended."""
        self.port.codes, self.port.choices = list(self.codes), self.choices
        after: list[LocalState] = []

        def step() -> Any:
            moved = self.stepper.step(self.local)
            after.append(moved.local)
            return moved.label

        found = outcome(self.port, step)
        self.after = after[0] if after else ()
        return (*found, tuple(self.port.codes))
