"""Tables that read the same in a page, in a notebook and in a mail of 72 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from ..verdict import Verdict

#: What a mail to the list may take.
WIDTH_COLUMNS = 72
_GAP = "  "
_NARROWEST = 6


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, and how a page marks it (``kind`` becomes a CSS class)."""

    text: str
    kind: str = ""
    href: str = ""

    @classmethod
    def of(cls, value: object) -> Cell:
        """Return a cell for a value: a verdict is marked by its word, numbers are grouped."""
        if isinstance(value, Cell):
            return value
        if isinstance(value, Verdict):
            return cls(value.text, "verdict " + value.word.name.lower().replace("_", "-"))
        if isinstance(value, int) and not isinstance(value, bool):
            return cls(f"{value:,}", "number")
        return cls(str(value))


@dataclass(frozen=True)
class Table:
    """Rows under columns; as wide as its text needs, at most 72 columns in text.

    A table that a chapter numbers has its caption there, and none here.

    Raises ValueError naming the row when a row has not one value for each column.

    >>> print(Table(("errno", "rule"), [("EEXIST", "overlap")], "One rule").text)
    One rule
    <BLANKLINE>
    errno   rule
    ------  -------
    EEXIST  overlap
    >>> Table(("errno", "rule"), [("EEXIST",)], "One rule")
    Traceback (most recent call last):
    ValueError: row 0 has 1 values for 2 columns: ('EEXIST',)
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                shape = f"{len(row)} values for {len(self.columns)} columns"
                raise ValueError(f"row {number} has {shape}: {tuple(row)!r}")

    @property
    def text(self) -> str:
        """The table as plain text, its caption first."""
        lines = textwrap.wrap(self.caption, WIDTH_COLUMNS)
        widths = self._widths()
        lines += [""] if lines else []
        lines += _wrapped([Cell(name) for name in self.columns], widths)
        lines.append(_GAP.join("-" * width for width in widths))
        for row in self._cells():
            lines += _wrapped(row, widths)
        return "\n".join(line.rstrip() for line in lines)

    @property
    def html(self) -> str:
        """The table as HTML, for a page whose style knows ``table.memslots``."""
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in self.columns)
        body = "".join(f"<tr>{''.join(map(_td, row))}</tr>" for row in self._cells())
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        # A wide table scrolls inside its box; focusable, so that a keyboard can scroll it too.
        return (
            f'<div class="memslots-table" tabindex="0" role="region" '
            f'aria-label="{escape(self.caption or ", ".join(filter(None, self.columns)))}">'
            f'<table class="memslots">{caption}<thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}

    def __str__(self) -> str:
        return self.text

    def _cells(self) -> Iterator[list[Cell]]:
        return ([Cell.of(value) for value in row] for row in self.rows)

    def _widths(self) -> list[int]:
        lines = [[len(name) for name in self.columns]]
        lines += [[len(cell.text) for cell in row] for row in self._cells()]
        widths = [max(1, *column) for column in zip(*lines, strict=True)]
        room = WIDTH_COLUMNS - len(_GAP) * (len(widths) - 1)
        while sum(widths) > room and max(widths) > _NARROWEST:
            widths[widths.index(max(widths))] -= 1
        return widths


def _wrapped(cells: Sequence[Cell], widths: Sequence[int]) -> Iterator[str]:
    columns = [
        textwrap.wrap(cell.text, width) or [""] for cell, width in zip(cells, widths, strict=True)
    ]
    for number in range(max(map(len, columns))):
        parts = [column[number] if number < len(column) else "" for column in columns]
        yield _GAP.join(
            part.rjust(width) if cell.kind == "number" else part.ljust(width)
            for part, cell, width in zip(parts, cells, widths, strict=True)
        )


def _td(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.href:
        text = f'<a href="{escape(cell.href)}">{text}</a>'
    return f'<td class="{cell.kind}">{text}</td>' if cell.kind else f"<td>{text}</td>"
