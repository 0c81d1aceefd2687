"""Permanent ids: what may be cited, that none is ever lost, and a short address for each.

``Q5.2`` is a claim, ``Q5.s2`` a section, ``F5.1`` a figure, ``T5.1`` a table. A chapter declares
one by a label in lower case, ``(q5.s2)=`` or ``:name: q5.2``; its short address ``r/q5.2.html``
stays when the chapter is split or renamed. ``book/anchors.txt`` only ever grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from .paths import BookError

#: q: chapter, section, claim; f: figure; t: table; a: appendix and its sections.
LABEL = re.compile(r"^(q\d+(\.s?\d+)?|[ft]\d+\.\d+|a\d+(\.s\d+)?)$")


@dataclass(frozen=True)
class Anchor:
    """One permanent id: its label (``q0.s1``), page, fragment on it, and title."""

    label: str
    page: str
    fragment: str
    title: str

    @property
    def id(self) -> str:
        """The id as prose writes it."""
        return spell(self.label)

    @classmethod
    def titled(cls, label: str, page: str, fragment: str, title: str) -> Anchor:
        """Return the anchor with a title that does not repeat its id.

        >>> Anchor.titled("q0", "q0", "q0", "Q0: The bug").title
        'The bug'
        """
        bare = re.sub(rf"^{re.escape(spell(label))}\b[:.\s]*", "", title)
        return cls(label, page, fragment, bare or spell(label))


def spell(label: str) -> str:
    """Return a label as prose writes it.

    >>> spell("q0.s1")
    'Q0.s1'
    """
    return label[0].upper() + label[1:]


def read_registry(path: Path) -> list[str]:
    """Return the published labels, oldest first; BookError when a line is none or comes twice."""
    seen: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        label = line.strip()
        if not label or label.startswith("#"):
            continue
        if not LABEL.match(label):
            raise BookError(f"{path.name}:{number}: {label!r} is no label like q5.2")
        if label in seen:
            raise BookError(f"{path.name}:{number}: {label} is listed twice")
        seen.append(label)
    return seen


def compare(published: Iterable[str], present: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the labels that vanished from the book and the ones that nobody registered.

    >>> compare(["q0", "q0.1"], ["q0", "q0.s1"])
    (['q0.1'], ['q0.s1'])
    """
    before, now = set(published), set(present)
    return sorted(before - now), sorted(now - before)


def write_short_addresses(folder: Path, anchors: Iterable[tuple[Anchor, str, str]]) -> int:
    """Write ``folder/<label>.html`` for each (anchor, its address from there, citation).

    Pages of earlier builds that no anchor stands for any more are removed. Returns how many are
    there now.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {f"{anchor.label}.html": _redirect(anchor, to, cite) for anchor, to, cite in anchors}
    for stale in {path.name for path in folder.glob("*.html")} - wanted.keys():
        (folder / stale).unlink()
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return len(wanted)


def _redirect(anchor: Anchor, address: str, citation: str) -> str:
    to, name = escape(address), escape(f"{anchor.id} {anchor.title}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<title>{name}</title><link rel="canonical" href="{to}">'
        f'<meta http-equiv="refresh" content="0; url={to}"></head>\n'
        f'<body><main><h1><a href="{to}">{name}</a></h1>\n'
        f"<pre>{escape(citation)}</pre></main></body></html>\n"
    )
