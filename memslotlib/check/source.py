"""An actor's source as a syntax tree, and the assurance that it is what runs."""

from __future__ import annotations
import __future__

import ast
import functools
import inspect
import linecache
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .errors import ModelError


def inner(code: types.CodeType) -> types.CodeType:
    """Return the first function's code among a code object's constants."""
    return next(one for one in code.co_consts if isinstance(one, types.CodeType))


def parsed(function: Callable[..., Any]) -> ast.FunctionDef:
    """Return the tree of a function, with the lines of its file, without what is around its body.

    Raises ModelError when the source cannot be read or is not what the function was made from: the
    file has changed since it was imported, or somebody rewrote the code, as pytest does where there
    are assertions.
    """
    name = function.__qualname__
    try:
        text, first = inspect.getsourcelines(function)
    except (OSError, TypeError) as error:
        raise ModelError(
            f"the source of {name} cannot be read ({error}): define it in a file or in a "
            "notebook cell"
        ) from None
    where = f"{function.__code__.co_filename}:{first}"
    # Not dedented: that would change what a string over several lines says.
    is_indented = text[0][:1].isspace()
    try:
        tree = ast.parse("".join(["if True:\n", *text] if is_indented else text))
    except SyntaxError as error:
        raise ModelError(f"the source of {name} cannot be parsed: {error}", where=where) from None
    first_statement = tree.body[0]
    node = first_statement.body[0] if isinstance(first_statement, ast.If) else first_statement
    if not isinstance(node, ast.FunctionDef):
        raise ModelError(f"{name} is not written with def", where=where)
    _bare(node)
    if not _is_same(function, node):
        raise ModelError(f"the source of {name} has changed since it was imported", where=where)
    ast.increment_lineno(tree, first - 1 - is_indented)
    return node


def _bare(node: ast.FunctionDef) -> None:
    """Take from a function what is evaluated around it, when it is defined."""
    node.decorator_list, node.returns = [], None
    node.args.defaults = []
    node.args.kw_defaults = [None for _ in node.args.kwonlyargs]
    for one in ast.walk(node.args):
        if isinstance(one, ast.arg):
            one.annotation = None
    if hasattr(node, "type_params"):
        node.type_params = []


def _is_same(function: Callable[..., Any], node: ast.FunctionDef) -> bool:
    """Whether a function's text, compiled again, is its code.

    First in the same surroundings, which is what a notebook does with each statement of a cell;
    then with the whole file, since a compiler may look at what else is in it, such as imports.
    """
    code = function.__code__
    # Everything in it has a place, so that none is missing.
    alone = ast.parse(f"def __outer({', '.join(code.co_freevars)}): pass")
    assert isinstance(alone.body[0], ast.FunctionDef)
    alone.body[0].body = [node]
    compiled = compile(alone, "<source>", "exec", future_flags(function), dont_inherit=True)
    if _said(inner(inner(compiled))) == _said(code):
        return True
    text = "".join(linecache.getlines(code.co_filename, function.__globals__))
    try:
        whole = compile(text, "<source>", "exec", future_flags(function), dont_inherit=True)
    except SyntaxError:
        return False
    return any(
        one.co_firstlineno == code.co_firstlineno and _said(one) == _said(code)
        for one in _within(whole)
    )


def _within(code: types.CodeType) -> Iterator[types.CodeType]:
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield one
            yield from _within(one)


def _said(code: types.CodeType) -> tuple[object, ...]:
    consts = [
        _said(one) if isinstance(one, types.CodeType) else repr(one).rpartition("<locals>")[2]
        for one in code.co_consts
    ]
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return code.co_name, code.co_code, names, consts


def surrounded(node: ast.FunctionDef, free: Iterable[str], near: ast.AST) -> ast.Module:
    """Return a module in which ``node`` stands inside a function with the variables ``free``."""
    outer = ast.FunctionDef("__outer", arguments(free), [node], [])
    if hasattr(near, "type_params"):
        outer.type_params = node.type_params = []  # type: ignore[attr-defined]
    return ast.fix_missing_locations(ast.Module([ast.copy_location(outer, near)], []))


def future_flags(function: Callable[..., Any]) -> int:
    """Return the flags of the ``from __future__`` imports that a function was compiled under."""
    features = [getattr(__future__, name) for name in __future__.all_feature_names]
    mask = functools.reduce(int.__or__, (one.compiler_flag for one in features))
    return int(function.__code__.co_flags & mask)


def arguments(names: Iterable[str]) -> ast.arguments:
    """Return parameters with these names, and nothing else about them."""
    found = [ast.arg(name) for name in names]
    return ast.arguments(posonlyargs=[], args=found, kwonlyargs=[], kw_defaults=[], defaults=[])
