"""An actor's body as blocks of statements, cut wherever a ``yield`` may suspend it.

Statements without a ``yield`` stay as they are. ``if``, ``while``, ``for`` and ``match`` that
contain one become blocks and jumps, so that every place where an actor can be suspended is the
beginning of a block, and can be entered by its number.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from .errors import ModelError
from .liveness import FUNCTIONS, NONE, Names, assigned, forgotten, live_before, loaded, stored
from .nested import problems

#: Statements that cannot be suspended, in words.
_KINDS = {
    ast.Try: "try",
    ast.TryStar: "try",
    ast.With: "with",
    ast.Assign: "an assignment",
    ast.AnnAssign: "an assignment",
    ast.AugAssign: "an assignment",
    ast.Return: "return",
}
#: The number that stands for "returned".
DONE = -1


@dataclass
class Goto:
    """Go on with another block; ``node`` is the ``break`` or ``continue`` that says so, if any."""

    to: Block
    node: ast.stmt | None = None


@dataclass
class Branch:
    """Go on with one of two blocks."""

    test: ast.expr
    yes: Block
    no: Block


@dataclass
class Select:
    """Go on with the block of the case that matches, or with ``other``."""

    node: ast.Match
    cases: list[Block]
    other: Block


@dataclass
class Suspend:
    """End the micro-step; the next one begins with ``to``."""

    label: ast.expr | None
    to: Block
    node: ast.stmt


@dataclass
class Call:
    """Run another generator function's micro-steps, then go on with ``to``, given its result."""

    call: ast.Call
    to: Block


@dataclass
class Return:
    """The actor, or the generator function that it called, is done."""

    value: ast.expr | None
    node: ast.stmt | None = None


End = Goto | Branch | Select | Suspend | Call | Return


@dataclass(eq=False)
class Block:
    """Statements that run one after the other, and what comes then.

    ``receives`` is where the result of a call goes that this block comes after.
    """

    number: int
    body: list[ast.stmt] = field(default_factory=list)
    end: End = field(default_factory=lambda: Return(None))
    receives: ast.expr | None = None
    live: Names = frozenset()
    bound: Names | None = None

    @property
    def asked(self) -> list[ast.AST]:
        """What is evaluated at the end of the block."""
        end = self.end
        if isinstance(end, Select):
            parts = [part for one in end.node.cases for part in (one.pattern, one.guard)]
            return [one for one in (end.node.subject, *parts) if one is not None]
        names = {Branch: "test", Suspend: "label", Call: "call", Return: "value"}
        found = getattr(end, names.get(type(end), ""), None)
        return [] if found is None else [found]

    @property
    def next(self) -> list[Block]:
        """The blocks that may come after this one."""
        end = self.end
        if isinstance(end, Branch):
            return [end.yes, end.no]
        if isinstance(end, Select):
            return [*end.cases, end.other]
        return [] if isinstance(end, Return) else [end.to]

    @property
    def is_empty(self) -> bool:
        """Whether nothing happens before the end of the block."""
        return not self.body and self.receives is None

    @property
    def resolved(self) -> Block:
        """The first block from here on that does anything."""
        return self._way[-1]

    @property
    def passed(self) -> list[ast.stmt]:
        """The ``break``, ``continue`` and ``return`` on the way to it, or to having returned."""
        ends = [block.end for block in self._way[: None if self.is_done else -1]]
        return [one.node for one in ends if isinstance(one, Goto | Return) and one.node]

    @property
    def _way(self) -> list[Block]:
        way = [self]
        while way[-1].is_empty and isinstance(way[-1].end, Goto) and way[-1].end.to not in way:
            way.append(way[-1].end.to)
        return way

    @property
    def is_done(self) -> bool:
        """Whether an actor that is suspended before this block has nothing left to do."""
        block = self.resolved
        return block.is_empty and isinstance(block.end, Return) and block.end.value is None


@dataclass(frozen=True)
class Flow:
    """A function's blocks in the order of their numbers; the first one is where it starts."""

    blocks: list[Block]
    hoisted: list[ast.FunctionDef]
    locals: Names


class Builder:
    """Cuts one function into blocks. ``where`` is the name of its file, for messages."""

    def __init__(self, function: ast.FunctionDef, where: str) -> None:
        self.where = where
        self.blocks: list[Block] = []
        self.loops: list[tuple[Block, Block]] = []
        self.hoisted = [node for node in function.body if isinstance(node, ast.FunctionDef)]
        for blamed, why in problems(function):
            self._fail(blamed, why)
        self._temporaries = itertools.count()
        rest = [node for node in function.body if not isinstance(node, ast.FunctionDef)]
        last = self._sequence(rest, self._block())
        last.end = Return(None)
        parameters = frozenset(
            one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg)
        )
        self.locals = self._locals(parameters)
        self._find_live(parameters)

    @property
    def flow(self) -> Flow:
        """The function in blocks."""
        return Flow(self.blocks, self.hoisted, self.locals)

    def _block(self) -> Block:
        block = Block(len(self.blocks))
        self.blocks.append(block)
        return block

    def _sequence(self, body: Sequence[ast.stmt], block: Block) -> Block:
        """Append statements to ``block``; return the block where what comes after them goes."""
        for node in body:
            block = self._statement(node, block)
        return block

    def _statement(self, node: ast.stmt, block: Block) -> Block:
        if isinstance(node, ast.Return) and not _yields(node):
            block.end = Return(node.value, node)
            return self._block()
        if isinstance(node, ast.Break | ast.Continue):
            head, after = self.loops[-1]
            block.end = Goto(after if isinstance(node, ast.Break) else head, node)
            return self._block()
        if not _yields(node) and not (self.loops and _leaves_loop(node)):
            block.body.append(node)
            return block
        if isinstance(node, ast.If):
            return self._if(node, block)
        if isinstance(node, ast.While):
            return self._while(node, block)
        if isinstance(node, ast.For):
            return self._for(node, block)
        if isinstance(node, ast.Match):
            return self._match(node, block)
        return self._suspension(node, block)

    def _if(self, node: ast.If, block: Block) -> Block:
        self._refuse(node.test)
        yes, no, after = self._block(), self._block(), self._block()
        block.end = Branch(node.test, yes, no)
        self._sequence(node.body, yes).end = Goto(after)
        self._sequence(node.orelse, no).end = Goto(after)
        return after

    def _while(self, node: ast.While, block: Block) -> Block:
        self._refuse(node.test)
        head, body, ends, after = (self._block() for _ in range(4))
        block.end = Goto(head)
        is_endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        head.end = Goto(body) if is_endless else Branch(node.test, body, ends)
        self._loop(node.body, body, head, after)
        self._sequence(node.orelse, ends).end = Goto(after)
        return after

    def _for(self, node: ast.For, block: Block) -> Block:
        """Turn ``for x in rows`` into a position in ``rows``, which can be stored, and a loop."""
        self._refuse(node.iter)
        number = next(self._temporaries)
        rows, position = f"__rows{number}", f"__position{number}"
        begin = f"{rows} = __sequence__(0); {position} = 0"
        pick = f"__target = {rows}[{position}]; {position} += 1"
        start = _parsed(begin, node)
        assert isinstance(start[0], ast.Assign)
        assert isinstance(start[0].value, ast.Call)
        start[0].value.args[0] = node.iter
        take = _parsed(pick, node)
        assert isinstance(take[0], ast.Assign)
        take[0].targets[0] = node.target
        test = _parsed(f"{position} < len({rows})", node)[0]
        assert isinstance(test, ast.Expr)

        head, body, ends, after = (self._block() for _ in range(4))
        block.body += start
        block.end = Goto(head)
        head.end = Branch(test.value, body, ends)
        body.body += take
        self._loop(node.body, body, head, after)
        self._sequence(node.orelse, ends).end = Goto(after)
        return after

    def _loop(self, body: Sequence[ast.stmt], block: Block, head: Block, after: Block) -> None:
        self.loops.append((head, after))
        self._sequence(body, block).end = Goto(head)
        self.loops.pop()

    def _match(self, node: ast.Match, block: Block) -> Block:
        for part in (node.subject, *(case.guard for case in node.cases)):
            self._refuse(part)
        cases = [self._block() for _ in node.cases]
        other, after = self._block(), self._block()
        block.end = Select(node, cases, other)
        for case, start in zip(node.cases, cases, strict=True):
            self._sequence(case.body, start).end = Goto(after)
        other.end = Goto(after)
        return after

    def _suspension(self, node: ast.stmt, block: Block) -> Block:
        """``yield``, ``yield label``, and ``yield from`` with or without its result."""
        after = self._block()
        value = getattr(node, "value", None)
        if isinstance(node, ast.Expr) and isinstance(value, ast.Yield):
            self._refuse(value.value)
            block.end = Suspend(value.value, after, node)
            return after
        is_call = isinstance(value, ast.YieldFrom) and isinstance(value.value, ast.Call)
        is_plain = isinstance(node, ast.Expr | ast.Return | ast.AnnAssign) or (
            isinstance(node, ast.Assign) and len(node.targets) == 1
        )
        if not (is_call and is_plain):
            self._reject(node)
        assert isinstance(value, ast.YieldFrom)
        assert isinstance(value.value, ast.Call)
        callee = value.value.func
        if isinstance(callee, ast.Name) and callee.id in {one.name for one in self.hoisted}:
            self._fail(
                node,
                f"`yield from {callee.id}(...)`, and {callee.id} is defined inside of the actor, "
                "whose variables it could change: define it outside",
            )
        for part in ast.iter_child_nodes(value.value):
            self._refuse(part)
        block.end = Call(value.value, after)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            after.receives = node.targets[0] if isinstance(node, ast.Assign) else node.target
        elif isinstance(node, ast.Return):
            after.receives = ast.copy_location(ast.Name("__result", ast.Store()), node)
            after.end = Return(ast.copy_location(ast.Name("__result", ast.Load()), node))
            return self._block()
        return after

    def _refuse(self, node: ast.AST | None) -> None:
        if node is not None and _yields(node):
            self._reject(node)

    def _reject(self, node: ast.AST) -> NoReturn:
        kind = _KINDS.get(type(node), "an expression")
        if not _yields(node):
            self._fail(
                node,
                f"a `break` or `continue` inside {kind} would leave a loop that contains a "
                "`yield`: set a variable there, and leave the loop after it",
            )
        self._fail(
            node,
            f"an actor cannot be suspended inside {kind}: `yield`, `yield label`, `yield from "
            "f(...)` and `x = yield from f(...)` stand alone or inside if, while, for and match",
        )

    def _fail(self, node: ast.AST, what: str) -> NoReturn:
        raise ModelError(what, where=f"{self.where}:{getattr(node, 'lineno', 0)}")

    def _find_live(self, parameters: Names) -> None:
        """Find what is live before each block, and what is certainly bound there."""
        # A nested function may run at any time, so what it reads is never forgotten.
        kept = NONE.union(*map(loaded, self.hoisted))
        unsure = NONE.union(*map(forgotten, self.hoisted))
        changed = True
        while changed:
            changed = False
            for block in reversed(self.blocks):
                live = _live(block) | kept
                if live != block.live:
                    block.live, changed = live, True
        self.blocks[0].bound = parameters
        waiting = [self.blocks[0]]
        while waiting:
            block = waiting.pop()
            assert block.bound is not None
            bound = assigned(block.body, block.bound | stored(block.receives)) - unsure
            for following in block.next:
                known = bound if following.bound is None else following.bound & bound
                if known != following.bound:
                    following.bound = known
                    waiting.append(following)

    def _locals(self, parameters: Names) -> Names:
        """Return the names that are this function's own variables."""
        found, others = parameters, NONE
        for block in self.blocks:
            found = found.union(*map(stored, [*block.body, block.receives, *block.asked]))
            for node in [one for part in block.body for one in _within(part)]:
                if isinstance(node, ast.Global | ast.Nonlocal):
                    others |= frozenset(node.names)
        # Nested functions are made anew whenever the function is entered.
        return found - others - {node.name for node in self.hoisted}


def _live(block: Block) -> Names:
    end = block.end
    if isinstance(end, Select):
        after = end.other.live
        for case, one in reversed([*zip(end.node.cases, end.cases, strict=True)]):
            # A guard that says no leaves behind what the pattern bound, so nothing is killed.
            chosen = (one.live | loaded(case.guard)) - stored(case.pattern)
            after |= chosen | loaded(case.pattern)
        after |= loaded(end.node.subject)
    else:
        after = NONE.union(*(one.live for one in block.next), *map(loaded, block.asked))
    live = live_before(block.body, after)
    return (live - stored(block.receives)) | loaded(block.receives)


def _within(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree, but not into functions: their yields and returns are their own."""
    yield node
    if not isinstance(node, FUNCTIONS):
        for child in ast.iter_child_nodes(node):
            yield from _within(child)


def _yields(node: ast.AST) -> bool:
    """Whether a node contains a yield of its own function; asked often, so kept with the node."""
    known: bool | None = node.__dict__.get("_yields")
    if known is None:
        is_one = isinstance(node, ast.Yield | ast.YieldFrom | ast.Await)
        is_inside = not isinstance(node, FUNCTIONS) and any(
            map(_yields, ast.iter_child_nodes(node))
        )
        known = node._yields = is_one or is_inside  # type: ignore[attr-defined]
    return bool(known)


def _leaves_loop(node: ast.AST) -> bool:
    """Whether a ``break`` or ``continue`` in ``node`` belongs to a loop around it."""
    if isinstance(node, ast.Break | ast.Continue):
        return True
    if isinstance(node, FUNCTIONS):
        return False
    if isinstance(node, ast.For | ast.While):
        return any(map(_leaves_loop, node.orelse))
    return any(map(_leaves_loop, ast.iter_child_nodes(node)))


def _parsed(text: str, near: ast.AST) -> list[ast.stmt]:
    body = ast.parse(text).body
    for node in body:
        for one in ast.walk(node):
            ast.copy_location(one, near)
    return body
