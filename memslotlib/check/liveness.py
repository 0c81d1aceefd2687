"""Which local variables a piece of an actor still needs: liveness over Python's syntax tree.

What an actor keeps across a ``yield`` is part of the state, so a variable that nobody will read
again has to be forgotten, or states that behave alike would be told apart. Erring towards *live* is
sound and only makes more states; that is what happens for constructs that are rare in actors.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Names = frozenset[str]
NONE: Names = frozenset()

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def _once(find: Callable[[Any], Names]) -> Callable[[ast.AST | None], Names]:
    """Keep what was found about a node with the node: it is asked for again and again."""
    name = f"_{find.__name__}"

    @functools.wraps(find)
    def found(node: ast.AST | None) -> Names:
        if node is None:
            return NONE
        known: Names | None = node.__dict__.get(name)
        if known is None:
            known = find(node)
            setattr(node, name, known)
        return known

    return found


@_once
def loaded(node: ast.AST) -> Names:
    """Return the names that evaluating ``node`` may read, those of nested functions included.

    >>> sorted(loaded(ast.parse("any(a[i] for i in rows)")))
    ['a', 'any', 'rows']
    """
    if isinstance(node, ast.Name):
        return frozenset({node.id}) if isinstance(node.ctx, ast.Load | ast.Del) else NONE
    if isinstance(node, _COMPREHENSIONS):
        bound = frozenset[str]().union(*(stored(one.target) for one in node.generators))
        inside = [part for one in node.generators for part in (one.iter, *one.ifs)]
        inside += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        return (_all(inside) - bound) | loaded(node.generators[0].iter)
    if isinstance(node, FUNCTIONS):
        return _free(node)
    if isinstance(node, ast.AugAssign):
        return loaded(node.value) | loaded(node.target) | stored(node.target)
    return _all(ast.iter_child_nodes(node))


@_once
def stored(node: ast.AST) -> Names:
    """Return the names that ``node`` binds, or may bind."""
    if isinstance(node, ast.Name):
        return NONE if isinstance(node.ctx, ast.Load) else frozenset({node.id})
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return frozenset({node.name})
    if isinstance(node, ast.Lambda):
        return NONE
    if isinstance(node, _COMPREHENSIONS):
        # Only an assignment expression in a comprehension binds outside of it.
        return frozenset(one.target.id for one in ast.walk(node) if isinstance(one, ast.NamedExpr))
    found = frozenset[str]().union(*map(stored, ast.iter_child_nodes(node)))
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        found |= {node.name}
    if isinstance(node, ast.MatchMapping) and node.rest:
        found |= {node.rest}
    if isinstance(node, ast.Import | ast.ImportFrom):
        found |= {(one.asname or one.name).partition(".")[0] for one in node.names}
    return found


def _free(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Names:
    """Return the names that a nested function takes from around it, or changes there."""
    body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
    own = frozenset(one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg))
    outer = frozenset[str]()
    for one in [inside for part in body for inside in ast.walk(part)]:
        if isinstance(one, ast.Nonlocal | ast.Global):
            outer |= frozenset(one.names)
    own = (own | frozenset[str]().union(*map(stored, body))) - outer
    # Defaults, annotations and decorators belong to the function around it.
    return ((_all(body) | outer) - own) | loaded(node.args) | _all(_around(node))


def _around(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterable[ast.AST]:
    if not isinstance(node, ast.Lambda):
        yield from node.decorator_list
        if node.returns is not None:
            yield node.returns


@dataclass(frozen=True)
class _Loop:
    """What is live where ``break`` and ``continue`` go."""

    after: Names
    head: Names


_NO_LOOP = _Loop(NONE, NONE)


def live_before(body: Sequence[ast.stmt], after: Names, loop: _Loop = _NO_LOOP) -> Names:
    r"""Return the names that are live before a list of statements, if ``after`` are after it.

    >>> code = ast.parse("x = m.a\nif x: y = 1\nz = y + x").body
    >>> sorted(live_before(code, frozenset({"z"})))
    ['m', 'y']
    """
    for statement in reversed(body):
        after = _before(statement, after, loop)
    return after


def _before(node: ast.stmt, after: Names, loop: _Loop) -> Names:
    if isinstance(node, ast.If):
        branches = live_before(node.body, after, loop) | live_before(node.orelse, after, loop)
        return loaded(node.test) | branches
    if isinstance(node, ast.While):
        return _loop(node.body, after, live_before(node.orelse, after, loop) | loaded(node.test))
    if isinstance(node, ast.For):
        ends = live_before(node.orelse, after, loop)
        inside = _loop(node.body, after, ends, kills=stored(node.target))
        return loaded(node.iter) | loaded(node.target) | inside
    if isinstance(node, ast.Break):
        return loop.after
    if isinstance(node, ast.Continue):
        return loop.head
    if isinstance(node, ast.Return | ast.Raise):
        return loaded(node)
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        kills = {one.id for one in _plain(targets)}
        return (after - kills) | loaded(node)
    if isinstance(node, ast.With):
        inside = live_before(node.body, after, loop)
        return (inside | after) | _all(node.items)
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return (after - {node.name}) | loaded(node)
    if isinstance(node, ast.Match):
        bodies = [live_before(case.body, after, loop) for case in node.cases]
        return after.union(*bodies) | _all([node.subject, *_conditions(node.cases)])
    if isinstance(node, ast.Try | ast.TryStar):
        return after | loop.after | loop.head | loaded(node)
    # An expression, or something rare: what it reads is live, and nothing is forgotten.
    return after | loaded(node)


def _loop(body: Sequence[ast.stmt], after: Names, head: Names, kills: Names = NONE) -> Names:
    """Return what is live at the head of a loop: a fixed point, since its body comes back to it."""
    while True:
        again = head | (live_before(body, head, _Loop(after, head)) - kills)
        if again == head:
            return head
        head = again


def assigned(body: Iterable[ast.stmt], before: Names) -> Names:
    """Return the names that are certainly bound after statements that ran to their end."""
    for node in body:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            if node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                before |= {one.id for one in _plain(targets)}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
            before |= stored(node)
        elif isinstance(node, ast.Delete):
            before -= stored(node)
        elif isinstance(node, ast.If):
            before = assigned(node.body, before) & assigned(node.orelse, before)
        else:
            # A loop may not run and an exception may come: only what was bound stays certain.
            before -= forgotten(node)
    return before


def forgotten(node: ast.AST) -> Names:
    r"""Return the names that ``node``, or a function in it, may take the value from.

    >>> sorted(forgotten(ast.parse("try: del a\nexcept KeyError as b: pass")))
    ['a', 'b']
    """
    found = NONE
    for one in ast.walk(node):
        if isinstance(one, ast.Delete):
            found |= stored(one)
        elif isinstance(one, ast.ExceptHandler) and one.name:
            found |= {one.name}
    return found


def _plain(targets: Iterable[ast.expr]) -> Iterable[ast.Name]:
    for one in targets:
        if isinstance(one, ast.Name):
            yield one
        elif isinstance(one, ast.Tuple | ast.List):
            yield from _plain(one.elts)


def _conditions(cases: Iterable[ast.match_case]) -> Iterable[ast.AST]:
    for case in cases:
        yield case.pattern
        if case.guard is not None:
            yield case.guard


def _all(nodes: Iterable[ast.AST]) -> Names:
    return frozenset[str]().union(*map(loaded, nodes))
