"""A citation is plain text for a mail: 72 columns, an address that is never broken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memslotlib.booktools.anchors import Anchor
from memslotlib.booktools.citation import COLUMNS, citation
from memslotlib.booktools.paths import settings

WORDS = st.lists(st.text("abcdefghijklmnop-()_", min_size=1, max_size=30), min_size=1, max_size=40)
LABELS = st.from_regex(r"\A[qft][0-9]{1,2}\.s?[1-9][0-9]?\Z")

BASE_URL = settings()["html"]["baseurl"].rstrip("/")


@given(LABELS, WORDS)
def test_no_line_is_longer_than_72_columns(label: str, words: list[str]) -> None:
    anchor = Anchor(label, "q0", label.replace(".", "-"), " ".join(words))

    text = citation(
        anchor,
        book=settings()["title"],
        revision="649b216c0ffe+ (2026-11-23)",
        base_url=BASE_URL,
    )

    assert max(map(len, text.splitlines())) <= COLUMNS
    assert text.startswith(f"[{anchor.id}] ")
    assert text.splitlines()[-1].strip() == f"{BASE_URL}/r/{label}.html"
    assert all(word in text.replace("\n", " ").replace(" ", "") for word in words)


def test_a_long_address_stands_alone_and_unbroken() -> None:
    base = "https://docs.example.org/" + "a" * 60
    anchor = Anchor("q0.1", "q0", "q0-1", "A title")

    lines = citation(anchor, book="B", revision="r", base_url=base).splitlines()

    assert lines[-1] == f"{base}/r/q0.1.html"


def test_long_title_is_indented_under_its_id() -> None:
    anchor = Anchor("q0.s1", "q0", "q0-s1", "word " * 30)

    lines = citation(anchor, book="Book", revision="r", base_url="https://e.org").splitlines()

    assert len(lines) > 3
    assert all(line.startswith(" " * len("[Q0.s1] ")) for line in lines[1:])
