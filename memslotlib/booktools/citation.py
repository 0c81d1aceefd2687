"""What the cite button copies: plain text that survives a mailing list."""

from __future__ import annotations

import textwrap

from .anchors import Anchor

#: Mail on kernel lists is quoted and re-quoted; 72 columns leave room for the marks.
COLUMNS = 72


def citation(anchor: Anchor, *, book: str, revision: str, base_url: str) -> str:
    """Return the citation of ``anchor``: id and title, book and revision, short address.

    No line is longer than 72 columns, but for an address that is: it is never broken.

    >>> anchor = Anchor("q0.1", "q0", "q0-1", "A fetch can miss")
    >>> print(citation(anchor, book="Memslots, atomically", revision="649b216 (2026-11-23)",
    ...                base_url="https://example.org/memslots"))
    [Q0.1] A fetch can miss.
           Memslots, atomically, 649b216 (2026-11-23)
           https://example.org/memslots/r/q0.1.html
    """
    mark = f"[{anchor.id}] "
    indent = " " * len(mark)
    title = anchor.title.rstrip(".")
    lines = textwrap.wrap(f"{mark}{title}.", COLUMNS, subsequent_indent=indent)
    lines += textwrap.wrap(
        f"{book}, {revision}", COLUMNS, initial_indent=indent, subsequent_indent=indent
    )
    address = f"{base_url}/r/{anchor.label}.html"
    lines.append((indent if len(indent) + len(address) <= COLUMNS else "") + address)
    return "\n".join(lines)
