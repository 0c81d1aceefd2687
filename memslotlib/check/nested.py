"""Functions that are defined inside of an actor: which of them an explorer can make anew.

A nested function shares variables with the actor, so it cannot be stored: it is made again whenever
the actor is entered at a ``yield``. What would not be the same then is refused here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .liveness import NONE, Names, loaded, stored

#: What a default of a nested function may consist of, besides names that stay what they are.
_FIXED = (ast.Constant, ast.Tuple, ast.UnaryOp, ast.unaryop, ast.expr_context)


def problems(function: ast.FunctionDef) -> Iterator[tuple[ast.AST, str]]:
    r"""Yield what is wrong with the nested functions of an actor: the node to blame, and why.

    A name that stands for something else too; a decorator; a default that may change; and a
    function that changes the actor's variables but is kept or passed on instead of being called.

    >>> actor = ast.parse("def actor(m):\n    def f(): pass\n    f = 1").body[0]
    >>> [why for _, why in problems(actor)]
    ['f is a nested function, and something else too']
    """
    if not any(isinstance(one, ast.FunctionDef) for one in ast.walk(ast.Module(function.body, []))):
        return
    hoisted = [node for node in function.body if isinstance(node, ast.FunctionDef)]
    bound = [name for part in function.body for name in _bindings(part)]
    bound += [one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg)]
    changed = NONE.union(*map(stored, function.body))
    for one in hoisted:
        if bound.count(one.name) > 1:
            yield one, f"{one.name} is a nested function, and something else too"
        if one.decorator_list:
            yield one, f"the nested function {one.name} is decorated: define it outside"
        if not all(_is_fixed(part, changed) for part in _defaults(one)):
            yield one, f"a default of {one.name} is not the same in every step"
    yield from _passed_on(function)


def _passed_on(function: ast.FunctionDef) -> Iterator[tuple[ast.AST, str]]:
    inside = [one for part in function.body for one in ast.walk(part)]
    changing = _changing([one for one in inside if isinstance(one, ast.FunctionDef)])
    called = {id(one.func) for one in inside if isinstance(one, ast.Call)}
    called -= {
        id(part) for one in inside if isinstance(one, ast.Lambda) for part in ast.walk(one.body)
    }
    for one in inside:
        if isinstance(one, ast.Name) and one.id in changing and id(one) not in called:
            yield one, f"{one.id} changes variables of the actor: it can only be called"


def _changing(functions: list[ast.FunctionDef]) -> Names:
    """Return the names of the functions that change variables around them, or call one that does.

    Somebody else who called them would do so after the actor's variables have been stored.
    """
    nodes = {one.name: list(ast.walk(one)) for one in functions}
    found: Names = frozenset(
        name for name, inside in nodes.items() if any(isinstance(n, ast.Nonlocal) for n in inside)
    )
    while True:
        more = {one.name for one in functions if loaded(one) & found}
        if more <= found:
            return found
        found |= more


def _defaults(node: ast.FunctionDef) -> Iterator[ast.AST]:
    for default in (*node.args.defaults, *node.args.kw_defaults):
        if default is not None:
            yield from ast.walk(default)


def _is_fixed(node: ast.AST, changed: Names) -> bool:
    if isinstance(node, ast.Name):
        return node.id not in changed
    return isinstance(node, _FIXED)


def _bindings(node: ast.AST) -> Iterator[str]:
    """Yield a name as often as ``node`` binds it."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Nonlocal | ast.Global):
        yield from node.names
    else:
        children = list(ast.iter_child_nodes(node))
        yield from stored(node) - NONE.union(*map(stored, children))
        for child in children:
            yield from _bindings(child)
