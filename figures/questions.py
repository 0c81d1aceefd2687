"""The questions of the thread, and which of them the book answers so far."""

from __future__ import annotations

from memslotlib.claims import Claim, load
from memslotlib.provenance import ROOT
from memslotlib.views.tables import Cell, Table

#: The questions, as short as a table allows; each chapter quotes its own in full.
QUESTIONS = {
    "Q0": "The bug: what does a vCPU meet while its slot is deleted and re-created?",
    "Q1": "Why can't this be solved in userspace?",
    "Q2": "Is performance a concern?",
    "Q3": "What operations does userspace truly need?",
    "Q4": "What precisely needs to be atomic, and across which address spaces?",
    "Q5": "When is KVM required to invalidate and flush?",
    "Q6": "What happens to the dirty bitmap when a slot is truncated?",
    "Q7": "A batch, wholesale replacement, or 1->N and N->1?",
}


def table(claims: dict[str, Claim] | None = None) -> Table:
    """Return one row a question: its chapter, and the claims that answer it."""
    claims = load(ROOT / "book" / "claims") if claims is None else claims
    rows = []
    for question, text in QUESTIONS.items():
        answering = [claim.id for claim in claims.values() if claim.question == question]
        if answering:
            chapter = Cell(question, href=f"{question.lower()}.html")
            told = f"{len(answering)} claims: {answering[0]} to {answering[-1]}"
        else:
            chapter, told = Cell(question), "open"
        rows.append((chapter, text, told))
    return Table(("", "Question", "Answered by"), rows, "The questions, and what answers them")
