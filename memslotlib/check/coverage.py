"""Which lines of the actors ran, and what each micro-step reads and writes."""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from dataclasses import dataclass

from .paths import Read
from .program import Program
from .trace import source_line


@dataclass(frozen=True)
class Line:
    """A line of an actor's source, and whether any path ran it."""

    number: int
    text: str
    is_covered: bool


@dataclass(frozen=True)
class Footprint:
    """What a micro-step that begins at a line may read and write, over all its paths.

    Of an actor with several members, as the first of them reads and writes.
    """

    actor: str
    where: str
    text: str
    labels: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def coverage(program: Program) -> dict[str, tuple[Line, ...]]:
    """Return the lines of the actors' source, by file, and whether any path ran them."""
    ran: dict[str, set[int]] = {}
    there: dict[str, frozenset[int]] = {}
    for function, code in program.stepper.functions.items():
        file = function.__code__.co_filename
        there[file] = there.get(file, frozenset()) | code.all_lines
    for role in program.roles:
        for file, line in [mark for path in role.paths for mark in path.lines]:
            ran.setdefault(file, set()).add(line)
    for file, line in program.started:
        ran.setdefault(file, set()).add(line)
    return {file: _lines(file, lines, ran.get(file, set())) for file, lines in there.items()}


def _lines(file: str, there: frozenset[int], ran: set[int]) -> tuple[Line, ...]:
    return tuple(
        Line(number, linecache.getline(file, number).rstrip(), number in ran)
        for number in sorted(there)
    )


def footprints(program: Program) -> Iterator[Footprint]:
    """Return what each micro-step may read and write, by the line where it begins."""
    names = program.model.element_names
    for role in program.roles:
        steps: dict[tuple[str, str], tuple[dict[str, None], set[int], set[int]]] = {}
        for path in role.paths:
            labels, reads, writes = steps.setdefault(source_line(path), ({}, set(), set()))
            if path.label is not None:
                labels[str(path.label)] = None
            reads |= {one.cell for one in path.log if isinstance(one, Read)}
            writes |= {cell for cell, _ in path.writes}
        # An actor that has returned has a path too, and it has no line.
        for (where, text), (labels, reads, writes) in sorted(steps.items(), key=_by_line):
            if not where:
                continue
            yield Footprint(
                role.actor.name,
                where,
                text,
                tuple(sorted(labels)),
                tuple(dict.fromkeys(names[cell] for cell in sorted(reads))),
                tuple(dict.fromkeys(names[cell] for cell in sorted(writes))),
            )


def _by_line(step: tuple[tuple[str, str], object]) -> tuple[str, int]:
    file, _, line = step[0][0].rpartition(":")
    return file, int(line or 0)
