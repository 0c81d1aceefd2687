"""An actor as a function that can be entered at any of its ``yield``, with its locals given.

CPython cannot copy a suspended generator, and peeking into one would rely on its internals. So the
explorer reads the actor's source, cuts it into blocks (:mod:`.flow`) and compiles a function of
three arguments: where to begin, the stored locals, and the result of a call. It needs ``ast``,
``compile`` and ``inspect`` as documented, and nothing of the interpreter's inside. Every
counterexample is replayed on the untouched generators; tests do so for random models.

What such a function returns, at the end of a micro-step or for a call::

    (label, next block, locals)                        yield
    (callee, arguments, keywords, next block, locals)  yield from
    (result,)                                          return

The next block is DONE where nothing is left to do. It notes the lines that it runs.
"""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .errors import ModelError
from .flow import DONE, Block, Branch, Builder, Call, Flow, Goto, Return, Select, Suspend
from .kinds import Symmetric
from .liveness import FUNCTIONS
from .source import arguments, future_flags, inner, parsed, surrounded

#: Stands for a local variable that has no value.
UNBOUND = type("Unbound", (), {"__repr__": lambda self: "unbound"})()
#: What a lowered function calls: names that a class body in it does not mangle.
_HELPERS = ("__at__", "__sequence__", "__unbound__")


#: What runs through something, and may read a shared array that a local variable stands for.
_ITERATING = (ast.For, ast.comprehension, ast.Starred, ast.In, ast.NotIn, ast.With, ast.Match)


class NotGeneratorError(Exception):
    """Something other than a generator function was called by ``yield from``."""


@dataclass(frozen=True)
class Lowered:
    """A generator function that can be entered at any block.

    ``names`` lists the locals that each block is entered with, in the order in which they are
    stored. Code that touches nothing shared belongs to no micro-step of its own: it runs at once
    after a ``yield``, as far as it goes, and before the first micro-step if there is any
    (``runs_ahead``) and a fourth argument of ``run`` says so. ``leading`` are the blocks that touch
    nothing shared before a ``yield``: an actor that begins in one begins after that.
    """

    function: Callable[..., Any]
    run: Callable[..., tuple[Any, ...]]
    names: dict[int, tuple[str, ...]]
    runs_ahead: bool
    leading: frozenset[int]
    all_lines: frozenset[int]
    signature: inspect.Signature = field(repr=False)

    def bound(self, arguments: Sequence[Any], keywords: dict[str, Any]) -> tuple[Any, ...]:
        """Return the values of the parameters for a call, in the order that block 0 stores."""
        bound = self.signature.bind(*arguments, **keywords)
        bound.apply_defaults()
        return tuple(bound.arguments[name] for name in self.names[0])


class _Template(NamedTuple):
    """What all functions with the same code share: parameters of a model lie in their closures."""

    code: types.CodeType
    names: dict[int, tuple[str, ...]]
    runs_ahead: bool
    leading: frozenset[int]
    all_lines: frozenset[int]


#: By file too: code that stands at the same line of two files is equal.
_templates: dict[tuple[str, types.CodeType], _Template] = {}


def lower(function: Callable[..., Any], at: Callable[[tuple[str, int]], None]) -> Lowered:
    """Return the function in the form that can be entered anywhere; ``at`` is told its lines.

    Raises ModelError when its source cannot be read, has changed since it was imported, or has a
    ``yield`` where an actor cannot be suspended; :class:`NotGeneratorError` when it is no generator
    function.
    """
    if not (isinstance(function, types.FunctionType) and inspect.isgeneratorfunction(function)):
        raise NotGeneratorError(repr(function))
    code = function.__code__
    key = code.co_filename, code
    if key not in _templates:
        _templates[key] = _template(function)
    template = _templates[key]
    helpers = dict(zip(_HELPERS, (at, sequence, UNBOUND), strict=True))
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    cells |= {name: types.CellType(value) for name, value in helpers.items()}
    closure = tuple(cells[name] for name in template.code.co_freevars)
    defaults = (False, None)  # Of __ahead and __label.
    run = types.FunctionType(
        template.code, function.__globals__, function.__name__, defaults, closure
    )
    signature = inspect.signature(function)
    return Lowered(function, run, *template[1:], signature)


def sequence(rows: Any) -> Any:
    """Return what a ``for`` over a ``yield`` runs through, in a form that can be stored.

    >>> sequence([1, 2])
    (1, 2)
    >>> sequence({1: 2})
    Traceback (most recent call last):
    memslotlib.check.errors.ModelError: a for over dict contains a yield, and its position cannot \
be stored: loop over a range, a tuple or a list
    """
    if isinstance(rows, range | tuple | str | bytes):
        return rows
    if isinstance(rows, list):
        return tuple(rows)
    if isinstance(rows, Symmetric):
        raise ModelError(
            f"a for over {rows.name} contains a yield, and its order would tell members apart: "
            "loop within one step, or choose a member"
        )
    raise ModelError(
        f"a for over {type(rows).__name__} contains a yield, and its position cannot be stored: "
        "loop over a range, a tuple or a list"
    )


def _template(function: Callable[..., Any]) -> _Template:
    node = parsed(function)
    file = function.__code__.co_filename
    flow = Builder(node, file).flow
    names = {block.number: tuple(sorted(block.live & flow.locals)) for block in flow.blocks}
    names[0] = tuple(inspect.signature(function).parameters)
    all_lines = frozenset(_lines(flow))
    writer = _Writer(flow, names, node, file)
    lowered = writer.function()
    module = surrounded(lowered, [*function.__code__.co_freevars, *_HELPERS], node)
    compiled = compile(module, file, "exec", future_flags(function), dont_inherit=True)
    runs_ahead = 0 in writer.ahead
    return _Template(inner(inner(compiled)), names, runs_ahead, writer.leading, all_lines)


def _lines(flow: Flow) -> Iterable[int]:
    nodes: list[ast.AST] = [inside for one in flow.hoisted for inside in one.body]
    for block in flow.blocks:
        nodes += [*block.body, *_said_at_end(block)]
    for node in nodes:
        for one in ast.walk(node):
            if isinstance(one, ast.stmt) and not _is_silent(one):
                yield one.lineno
        if isinstance(node, ast.expr):
            yield node.lineno


def _said_at_end(block: Block) -> list[ast.stmt | ast.expr]:
    """Return the statement or the condition that the end of a block stands for, if any."""
    end = block.end
    if isinstance(end, Branch):
        return [end.test]
    if isinstance(end, Select):
        return [end.node.subject]
    if isinstance(end, Call):
        return [end.call]
    return [] if end.node is None else [end.node]


def _is_silent(node: ast.stmt) -> bool:
    """Whether a statement does nothing when it runs: a text, or a declaration.

    A declaration also has to come before everything else that names its variable.
    """
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or isinstance(node, ast.Nonlocal | ast.Global)


class _Writer:
    """Writes the function of a flow: restore the locals, then a loop that jumps to the block."""

    def __init__(
        self, flow: Flow, names: dict[int, tuple[str, ...]], node: ast.FunctionDef, file: str
    ) -> None:
        self.flow, self.names, self.node, self.file = flow, names, node, file
        # Now: later the blocks' statements are marked, and marks are calls.
        private = [block for block in flow.blocks if self._is_private(block)]
        self.ahead = {block.number for block in private if _goes_on(block)}
        self.leading = frozenset(b.number for b in private if isinstance(b.end, Suspend))
        self.entries = self._entries()

    def function(self) -> ast.FunctionDef:
        """Return the function's tree."""
        numbers = sorted(self.entries)
        inside = [node for block in self.flow.blocks for node in block.body]
        body: list[ast.stmt] = [n for n in inside if isinstance(n, ast.Global | ast.Nonlocal)]
        body += self._restore([n for n in numbers if n in self.resumed or n == 0])
        for node in self.flow.hoisted:
            _mark_bodies(node, self.file)
            body.append(node)
        body.append(ast.While(ast.Constant(True), self._dispatch(numbers), []))
        found = ast.FunctionDef(
            name=self.node.name,
            args=arguments(["__pc", "__saved", "__sent", "__ahead", "__label"]),
            body=body,
            decorator_list=[],
        )
        return ast.copy_location(found, self.node)

    def _entries(self) -> set[int]:
        """Return the blocks that need a number: those that several ways lead to, or a yield."""
        counts: dict[int, int] = {0: 2}
        self.resumed: set[int] = set()
        for block in self.flow.blocks:
            for following in block.next:
                target = following.resolved
                counts[target.number] = counts.get(target.number, 0) + 1
                # Where running ahead ends, or begins.
                if block.number in self.ahead or isinstance(block.end, Suspend | Call):
                    self.resumed.add(target.number)
        several = {number for number, count in counts.items() if count > 1}
        return self.resumed | several | {0}

    def _is_private(self, block: Block) -> bool:
        # The shared state may come as any parameter, and what is read of it may be any local.
        own = {name for name in self.flow.locals if not name.startswith(("__rows", "__position"))}
        for part in [one for node in (*block.body, *block.asked) for one in ast.walk(node)]:
            if isinstance(part, _ITERATING) or _is_unpacking(part):
                return False
            if isinstance(part, (ast.Call, *FUNCTIONS)) and not _is_length_of_rows(part):
                return False
            if isinstance(part, ast.Attribute | ast.Subscript):
                root: ast.expr = part
                while isinstance(root, ast.Attribute | ast.Subscript):
                    root = root.value
                if not isinstance(root, ast.Name) or root.id in own:
                    return False
        return True

    def _restore(self, numbers: list[int]) -> list[ast.stmt]:
        """Write ``if __pc == 3: (a, b) = __saved`` for each block that locals are stored for."""
        found: list[ast.stmt] = []
        for number in reversed(numbers):
            names = self.names[number]
            if not names:
                continue
            targets = ast.Tuple([ast.Name(name, ast.Store()) for name in names], ast.Store())
            body: list[ast.stmt] = [ast.Assign([targets], _name("__saved"))]
            bound = self.flow.blocks[number].bound
            maybe = [] if bound is None else [n for n in names if n not in bound]
            for name in maybe:
                is_unbound = ast.Compare(_name(name), [ast.Is()], [_name("__unbound__")])
                body.append(ast.If(is_unbound, [ast.Delete([ast.Name(name, ast.Del())])], []))
            found = [ast.If(_compared("__pc", ast.Eq(), number), body, found)]
        return found

    def _dispatch(self, numbers: list[int]) -> list[ast.stmt]:
        if len(numbers) == 1:
            return self._block(self.flow.blocks[numbers[0]])
        half = len(numbers) // 2
        test = _compared("__pc", ast.Lt(), numbers[half])
        return [ast.If(test, self._dispatch(numbers[:half]), self._dispatch(numbers[half:]))]

    def _block(self, block: Block) -> list[ast.stmt]:
        body: list[ast.stmt] = []
        if block.receives is not None:
            receive = ast.Assign([block.receives], _name("__sent"))
            body.append(ast.copy_location(receive, block.receives))
        body += self._marked(block.body)
        return body + self._end(block)

    def _end(self, block: Block) -> list[ast.stmt]:
        end, ahead = block.end, block.number in self.ahead
        marks = [_mark(one, self.file) for one in _said_at_end(block)]
        if isinstance(end, Goto):
            return marks + self._goto(end.to, ahead)
        if isinstance(end, Branch):
            branch = ast.If(end.test, self._goto(end.yes, ahead), self._goto(end.no, ahead))
            return [*marks, ast.copy_location(branch, end.test)]
        if isinstance(end, Select):
            pairs = zip(end.node.cases, end.cases, strict=True)
            cases = [ast.match_case(c.pattern, c.guard, self._goto(to)) for c, to in pairs]
            select = ast.copy_location(ast.Match(end.node.subject, cases), end.node)
            return [*marks, select, *self._goto(end.other)]
        if isinstance(end, Suspend):
            marks = self._passed(end.to) + marks
            label = end.label or ast.Constant(None)
            if end.to.resolved.number not in self.ahead or end.to.is_done:
                return [*marks, self._leave(end.to, [label])]
            begin = ast.copy_location(_set("__label", label), label)
            run_on = _set("__ahead", ast.Constant(True))
            return [*marks, begin, run_on, *_jump(end.to.resolved.number)]
        if isinstance(end, Call):
            return [*self._passed(end.to), *marks, self._leave(end.to, _call(end.call))]
        if ahead:
            marks += self._stop(DONE, [])
        return [*marks, _Marks(self.file).visit(ast.Return(end.value))]

    def _goto(self, block: Block, ahead: bool = False) -> list[ast.stmt]:
        """Write the way to a block; running ahead ends before one that touches something shared."""
        marks = self._passed(block, is_done=False)
        if ahead and block.is_done:
            marks += self._stop(DONE, [])
        block = block.resolved
        if ahead and block.number not in self.ahead:
            marks += self._stop(block.number, self._stored(block))
        if block.number in self.entries:
            return marks + _jump(block.number)
        return marks + self._block(block)

    def _passed(self, block: Block, *, is_done: bool = True) -> list[ast.stmt]:
        """Note the jumps that no step will note, as the way to the next block leaves them out."""
        return [
            _mark(one, self.file)
            for one in block.passed
            if is_done or not isinstance(one, ast.Return)
        ]

    def _leave(self, to: Block, what: list[ast.expr]) -> ast.Return:
        """Write the return of a yield or a call: ``what``, where to go on, with which locals.

        In this order, since what a label or an argument binds is among the locals.
        """
        if to.is_done:
            parts = [*what, ast.Constant(DONE), ast.Tuple([], ast.Load())]
            return ast.Return(ast.Tuple(parts, ast.Load()))
        to = to.resolved
        stored = ast.Tuple(self._stored(to), ast.Load())
        return ast.Return(ast.Tuple([*what, ast.Constant(to.number), stored], ast.Load()))

    def _stop(self, number: int, stored: list[ast.expr]) -> list[ast.stmt]:
        """Write the end of running ahead: the micro-step ended at the ``yield`` before."""
        parts = [_name("__label"), ast.Constant(number), ast.Tuple(stored, ast.Load())]
        leave = ast.Return(ast.Tuple(parts, ast.Load()))
        return [ast.If(_name("__ahead"), [leave], [])]

    def _stored(self, block: Block) -> list[ast.expr]:
        bound = block.bound or frozenset()
        return [
            _name(n) if n in bound else _expression(f"locals().get({n!r}, __unbound__)")
            for n in self.names[block.number]
        ]

    def _marked(self, body: Iterable[ast.stmt]) -> list[ast.stmt]:
        """Return statements, each after a note of its line; returns become those of a flow."""
        found: list[ast.stmt] = []
        for node in body:
            if _is_silent(node):
                continue
            found += [_mark(node, self.file), _Marks(self.file).visit(node)]
        return found


def _goes_on(block: Block) -> bool:
    """Whether what comes after a block is decided by locals, and is no ``yield`` or call."""
    end = block.end
    inside = [part for node in block.body for part in ast.walk(node)]
    if block.receives is not None or any(isinstance(one, ast.Return) for one in inside):
        return False
    returns_nothing = isinstance(end, Return) and end.value is None
    return isinstance(end, Goto | Branch) or (returns_nothing and not block.is_done)


def _is_unpacking(node: ast.AST) -> bool:
    """Whether an assignment takes something apart that is not written down as its parts."""
    if not isinstance(node, ast.Assign):
        return False
    inside = [part for target in node.targets for part in ast.walk(target)]
    taken = sum(isinstance(part, ast.Tuple | ast.List) for part in inside)
    is_written = isinstance(node.value, ast.Tuple | ast.List) and taken <= len(node.targets)
    return taken > 0 and not is_written


def _is_length_of_rows(node: ast.AST) -> bool:
    """Whether this is the ``len(__rows0)`` that a ``for`` became."""
    return isinstance(node, ast.Call) and ast.unparse(node).startswith("len(__rows")


class _Marks(ast.NodeTransformer):
    """Notes the lines of nested statements, and turns ``return x`` into ``return (x,)``."""

    def __init__(self, file: str) -> None:
        self.file = file

    def visit_Return(self, node: ast.Return) -> ast.Return:
        value = node.value or ast.Constant(None)
        return ast.copy_location(ast.Return(ast.Tuple([value], ast.Load())), node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        _mark_bodies(node, self.file)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        _mark_bodies(node, self.file)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        _mark_lists(node, self.file)
        return node


def _mark_bodies(node: ast.AST, file: str) -> None:
    for child in ast.iter_child_nodes(node):
        _mark_bodies(child, file)
    _mark_lists(node, file)


def _mark_lists(node: ast.AST, file: str) -> None:
    for name in ("body", "orelse", "finalbody"):
        body = getattr(node, name, None)
        if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
            setattr(node, name, [one for each in body for one in _with_mark(each, file)])


def _with_mark(node: ast.stmt, file: str) -> list[ast.stmt]:
    return [node] if _is_silent(node) else [_mark(node, file), node]


def _mark(node: ast.AST, file: str) -> ast.stmt:
    place = ast.Constant((file, getattr(node, "lineno", 0)))  # type: ignore[arg-type]
    return ast.copy_location(ast.Expr(ast.Call(_name("__at__"), [place], [])), node)


def _call(node: ast.Call) -> list[ast.expr]:
    """Write callee, arguments and keywords of a call."""
    keywords = ast.Dict(
        [ast.Constant(k.arg) if k.arg is not None else None for k in node.keywords],
        [k.value for k in node.keywords],
    )
    return [node.func, ast.Tuple(node.args, ast.Load()), keywords]


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _set(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _jump(number: int) -> list[ast.stmt]:
    return [_set("__pc", ast.Constant(number)), ast.Continue()]


def _compared(name: str, how: ast.cmpop, number: int) -> ast.expr:
    return ast.Compare(_name(name), [how], [ast.Constant(number)])


def _expression(text: str) -> ast.expr:
    node = ast.parse(text, mode="eval").body
    for one in ast.walk(node):
        for place in ("lineno", "end_lineno", "col_offset", "end_col_offset"):
            if hasattr(one, place):
                delattr(one, place)
    return node
