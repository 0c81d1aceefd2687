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

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import cast

from docutils import nodes

from ..claims import Claim, Expectation
from ..verdict import Word
from .paths import BookError

_LONGEST_FIRST = sorted(Word, key=lambda word: -len(word.value))
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
    title, words = cast("list[nodes.Element]", box.children[:2])
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
    title.clear()
    title += [nodes.strong("", f"Claim {name}"), nodes.Text(f" {claim.title}")]
    box += _expectations(claim)
    box += _facts(claim)
    return claim


def _expectations(claim: Claim) -> nodes.Element:
    """Return what is expected of each API, and the reason that was written before the run."""
    items = []
    for (model, host, reason), group in itertools.groupby(claim.expect, _said_of):
        apis = ", ".join(one.name for one in group)
        words = [nodes.strong("", apis), nodes.Text(": expected of the model ")]
        words += [verdict(model), nodes.Text(", of a kernel "), verdict(host)]
        because = nodes.definition("", nodes.paragraph("", reason))
        items.append(nodes.definition_list_item("", nodes.term("", "", *words), because))
    return nodes.definition_list("", *items, classes=["claim-expect"])


def _said_of(one: Expectation) -> tuple[Word, Word, str]:
    """Return what an expectation says: APIs of which the same is said share a line."""
    return one.model, one.host, one.reason


def _facts(claim: Claim) -> nodes.Element:
    facts = {
        ("Experiment" if claim.is_measured else "Litmus test"): nodes.literal("", claim.litmus),
        **_where(claim),
        "Bound": nodes.Text(claim.bound),
        "Does not show": nodes.Text(" ".join(claim.limits)),
    }
    body = nodes.field_list(classes=["claim-facts"])
    for name, value in facts.items():
        body += _field(name, nodes.paragraph("", "", value))
    body += _field("Sources", nodes.bullet_list("", *(_source(one) for one in claim.sources)))
    body += _field("History", nodes.bullet_list("", *(_source(one) for one in claim.history)))
    return body


def _where(claim: Claim) -> dict[str, nodes.Text]:
    if claim.is_modelled:
        asked = f"{claim.keeps}, on {', '.join(claim.policies)}"
        return {"Property": nodes.Text(asked)}
    if claim.is_measured:
        return {"Looked for": nodes.Text(claim.keeps), "A trial": nodes.Text(claim.trial)}
    return {"Guest": nodes.Text(", ".join(claim.contexts) + _by(claim.path))}


def _by(path: str) -> str:
    return "" if path == "any" else f"; accesses by {path} only"


def _field(name: str, value: nodes.Node) -> nodes.field:
    return nodes.field("", nodes.field_name("", name), nodes.field_body("", value))


def _source(text: str) -> nodes.list_item:
    """Return a source as a list item; a message-id links to the list's archive."""
    found = re.search(r"message-id (\S+@[^\s,;]+)", text)
    if not found:
        return nodes.list_item("", nodes.paragraph("", text))
    mail = found[1].strip("<>")
    link = nodes.reference("", mail, refuri=f"https://lore.kernel.org/r/{mail}")
    before, after = text[: found.start(1)], text[found.end(1) :]
    line = nodes.paragraph("", "", nodes.Text(before), link, nodes.Text(after))
    return nodes.list_item("", line)


def verdict(word: Word) -> nodes.inline:
    """Return a word as a page marks it; the classes are those of :mod:`memslotlib.views.tables`."""
    return nodes.inline("", word.value, classes=_classes(word))


def mark_verdicts(document: nodes.document) -> int:
    """Mark every table cell that begins with a verdict's word; return how many there are."""
    marked = 0
    for entry in document.findall(nodes.entry):
        text = entry.astext()
        word = next((w for w in _LONGEST_FIRST if re.match(rf"{w.value}\b", text)), None)
        if word is not None and isinstance(entry[0], nodes.paragraph):
            entry[0]["classes"] += _classes(word)
            marked += 1
    return marked


def _classes(word: Word) -> list[str]:
    return ["verdict", word.name.lower().replace("_", "-")]


def _paragraph(text: str, style: str) -> nodes.paragraph:
    return nodes.paragraph("", text, classes=[style])


def _bare(text: str) -> str:
    """Return the words alone: markup and line breaks are the page's business."""
    return re.sub(r"[`*_]", "", " ".join(text.split()))
