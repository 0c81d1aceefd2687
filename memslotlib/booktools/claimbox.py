"""Claim boxes: an ordinary admonition of a chapter, filled from the registry of claims.

A chapter writes::

    ```{admonition} Q0.1
    :name: q0.1
    :class: claim
    The claim's statement, word for word, or only "...".
    ```

Every MyST reader shows that as it stands. The book compares the words with ``book/claims/*.toml``
(so they cannot drift apart), or puts them in place of the dots, and adds what the registry says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from docutils import nodes

from ..claims import Claim
from ..verdict import Word
from .paths import BookError

_DOTS = frozenset({"...", "…"})


def boxes(document: nodes.document) -> Iterator[nodes.admonition]:
    """Return the claim boxes of a page, in order."""
    for box in document.findall(nodes.admonition):
        if "claim" in box["classes"]:
            yield box


def fill(box: nodes.admonition, claims: Mapping[str, Claim], page: str) -> Claim:
    """Complete a claim box in place and return its claim.

    BookError when its title is no claim of the registry, its name is not the claim's label, or its
    words are not the claim's.
    """
    title, words = box[0], box[1]
    name = title.astext().strip()
    claim = claims.get(name)
    if claim is None:
        raise BookError(f"{page}: claim box {name!r}: no such id in book/claims")
    if claim.anchor not in box["names"]:
        raise BookError(f"{page}: claim box {name} needs the line :name: {claim.anchor}")
    if words.astext().strip() in _DOTS:
        box.replace(words, _paragraph(claim.statement, "claim-statement"))
    elif _bare(words.astext()) != _bare(claim.statement):
        raise BookError(
            f"{page}: claim box {name} and book/claims differ:\n"
            f"  page:     {_bare(words.astext())}\n  registry: {_bare(claim.statement)}"
        )
    else:
        words["classes"].append("claim-statement")
    title.children = []
    title += [nodes.strong("", f"Claim {name}"), nodes.Text(f" {claim.title}")]
    box += _expectations(claim)
    box += _facts(claim)
    return claim


def _expectations(claim: Claim) -> nodes.Element:
    rows = [
        [_cell(one.api), _word(one.model), _word(one.host), _cell(one.reason)]
        for one in claim.expect
    ]
    heads = ["API", "Model, expected", "Kernel, expected", "Because"]
    return table(heads, rows, classes=["claim-expect", "verdicts"])


def _facts(claim: Claim) -> nodes.Element:
    facts = {
        "Litmus test": nodes.literal("", claim.litmus),
        "Bound": nodes.Text(claim.bound),
        "Does not show": nodes.Text(" ".join(claim.limits)),
        "Sources": nodes.Text("; ".join(claim.sources)),
    }
    body = nodes.field_list(classes=["claim-facts"])
    for name, value in facts.items():
        text = nodes.paragraph("", "", value)
        body += nodes.field("", nodes.field_name("", name), nodes.field_body("", text))
    return body


def table(heads: list[str], rows: list[list[nodes.Node]], classes: list[str]) -> nodes.table:
    """Return a plain table of one header row."""
    group = nodes.tgroup(cols=len(heads))
    group += [nodes.colspec(colwidth=1) for _ in heads]
    group += nodes.thead("", _row([_cell(head) for head in heads]))
    group += nodes.tbody("", *(_row(row) for row in rows))
    return nodes.table("", group, classes=classes)


def _row(cells: list[nodes.Node]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", cell) for cell in cells))


def _cell(text: str) -> nodes.paragraph:
    return nodes.paragraph("", text)


def _word(word: Word) -> nodes.paragraph:
    shade = "verdict-" + word.value.lower().replace(" ", "-")
    return nodes.paragraph("", "", nodes.inline("", word.value, classes=["verdict", shade]))


def _paragraph(text: str, style: str) -> nodes.paragraph:
    return nodes.paragraph("", text, classes=[style])


def _bare(text: str) -> str:
    """Return the words alone: markup and line breaks are the page's business."""
    return re.sub(r"[`*_]", "", " ".join(text.split()))
