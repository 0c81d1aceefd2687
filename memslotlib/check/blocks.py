"""Under which condition a line of source runs: its function, and the branch that it stands in."""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Block(NamedTuple):
    """Where a line stands: ``guard`` is the condition of the innermost branch or loop around it.

    Empty where there is none but the function's own beginning.
    """

    function: str
    guard: str = ""


def block(file: str, number: int) -> Block:
    """Return where a line of a file stands; a file's own lines are in no function."""
    return _blocks(file, tuple(linecache.getlines(file))).get(number, Block(""))


@functools.cache
def _blocks(file: str, lines: tuple[str, ...]) -> Mapping[int, Block]:
    found: dict[int, Block] = {}
    for node, where in _walk(ast.parse("".join(lines), file), Block("")):
        # Of a statement of several lines each; what is inside of it comes later, and wins.
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
            found[number] = where
    return found


def _walk(node: ast.AST, where: Block) -> Iterator[tuple[ast.stmt, Block]]:
    """Yield each statement inside of a node with the block that it stands in."""
    for name, value in ast.iter_fields(node):
        inside = _inside(node, name, where)
        for child in value if isinstance(value, list) else []:
            if isinstance(child, ast.stmt):
                yield child, inside
                yield from _walk(child, inside)
            elif isinstance(child, ast.match_case | ast.ExceptHandler):
                yield from _walk(child, inside)


def _inside(node: ast.AST, field: str, where: Block) -> Block:
    """Return the block of the statements in a field of a node."""
    if isinstance(node, ast.FunctionDef) and field == "body":
        return Block(node.name)
    if isinstance(node, ast.If | ast.While) and field in ("body", "orelse"):
        test = ast.unparse(node.test)
        return Block(where.function, test if field == "body" else f"not ({test})")
    if isinstance(node, ast.For) and field == "body":
        return Block(where.function, f"{ast.unparse(node.target)} in {ast.unparse(node.iter)}")
    if isinstance(node, ast.match_case) and field == "body":
        return Block(where.function, ast.unparse(node.pattern))
    return where
