"""The hooks, in a real Sphinx, on a book of one page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from memslotlib.booktools.paths import BOOK

pytestmark = pytest.mark.slow

CONF = f"""
import sys
sys.path.insert(0, {str(BOOK / "_ext")!r})
from memslotlib.booktools import vendor
vendor.provide = lambda: "."
project = html_title = "Tiny"
extensions = ["myst_parser", "memslots_book"]
html_theme = "sphinx_book_theme"
html_baseurl = "https://example.org/tiny/"
exclude_patterns = ["out"]
"""
PAGE = """
(q7)=
# Q7: Batch or not

(q7.s1)=
## A heading

```{admonition} Q7.1
:name: q7.1
:class: claim
...
```

```{table} Some rows.
:name: t7.1

| a | verdict |
|---|---|
| 1 | HOLDS |
```
"""
CLAIM = """
[[claim]]
id = "Q7.1"
title = "A title"
statement = "A statement."
litmus = "x"
property = "served"
contexts = ["real16"]
bound = "b"
limits = ["l"]
sources = ["s"]
history = ["h"]
[claim.expect.today]
model = "VIOLATED"
host = "SEEN"
reason = "r"
source = "s"
"""
ANCHORS = "q7\nq7.1\nq7.s1\nt7.1\n"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "claims").mkdir()
    (tmp_path / "conf.py").write_text(CONF)
    (tmp_path / "index.md").write_text(PAGE)
    (tmp_path / "claims" / "q7.toml").write_text(CLAIM)
    (tmp_path / "anchors.txt").write_text(ANCHORS)
    return tmp_path


def _sphinx(book: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-E"]
    run = subprocess.run(
        [*command, str(book), str(book / "out")], capture_output=True, text=True, check=False
    )
    return run.returncode, re.sub(r"\x1b\[[0-9;]*m", "", run.stderr)


def test_page_has_permanent_ids_claims_captions_and_a_foot(book: Path) -> None:
    assert _sphinx(book) == (0, "")

    page = (book / "out" / "index.html").read_text(encoding="utf-8")
    for part in (
        '<section id="q7-s1">',
        'href="#q7-s1"',
        "<strong>Claim Q7.1</strong> A title",
        "<strong>T7.1</strong> Some rows.",
        '<p class="verdict holds">HOLDS</p>',
        '<p class="memslots-build">',
        "[Q7] Batch or not.",
    ):
        assert part in page
    assert {path.stem for path in (book / "out" / "r").iterdir()} == set(ANCHORS.split())
    assert "../index.html#q7-1" in (book / "out" / "r" / "q7.1.html").read_text(encoding="utf-8")


def test_rewording_a_heading_keeps_its_address(book: Path) -> None:
    (book / "index.md").write_text(PAGE.replace("A heading", "Other words"))

    assert _sphinx(book) == (0, "")
    assert '<section id="q7-s1">' in (book / "out" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "before", "after", "told"),
    [
        ("anchors.txt", "q7\n", "q7\nq7.2\n", "anchors are missing from the book: q7.2"),
        ("anchors.txt", "t7.1\n", "", "new anchors, not yet listed in book/anchors.txt: t7.1"),
        ("index.md", "(q7.s1)=\n", "", "anchors are missing from the book: q7.s1"),
        (
            "index.md",
            "\n## A",
            "\n## More\n\nText.\n\n(q7.s1)=\n## A",
            "without a permanent id: More",
        ),
        ("index.md", "...", "Other words.", "claim box Q7.1 and book/claims differ"),
    ],
)
def test_build_fails_and_says_why(
    book: Path, name: str, before: str, after: str, told: str
) -> None:
    path = book / name
    text = path.read_text()
    assert before in text
    if "More" in told:
        text = text.replace("(q7.s1)=\n", "")
    path.write_text(text.replace(before, after))

    status, messages = _sphinx(book)

    assert status != 0
    assert told in messages
