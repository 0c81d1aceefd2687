"""No published id is ever lost, and each has a short address that leads to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from memslotlib.booktools import anchors
from memslotlib.booktools.anchors import Anchor
from memslotlib.booktools.paths import BOOK, BookError


def test_registry_is_read_in_order_without_comments(tmp_path: Path) -> None:
    path = tmp_path / "anchors.txt"
    path.write_text("# published ids\nq0\n\nq0.s1\nf0.1\n")

    assert anchors.read_registry(path) == ["q0", "q0.s1", "f0.1"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("q0\nQ0.1\n", "anchors.txt:2: 'Q0.1' is no label like q5.2"),
        ("q0\nq0.1\nq0.1\n", "anchors.txt:3: q0.1 is listed twice"),
    ],
)
def test_registry_refuses_a_bad_line_by_number(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "anchors.txt"
    path.write_text(text)

    with pytest.raises(BookError) as caught:
        anchors.read_registry(path)
    assert str(caught.value) == told


def test_lost_and_unregistered_ids_are_both_found() -> None:
    assert anchors.compare(["q0", "q0.1", "t0.1"], ["q0", "f0.2", "f0.1"]) == (
        ["q0.1", "t0.1"],
        ["f0.1", "f0.2"],
    )


@pytest.mark.parametrize("label", ["q0", "q5.2", "q5.s12", "f0.1", "t10.3", "a1", "a1.s2"])
def test_labels_of_the_scheme_are_permanent(label: str) -> None:
    assert anchors.LABEL.match(label)


@pytest.mark.parametrize(
    "label", ["intro", "q", "q5.2.1", "f0", "t0.s1", "Q5.2", "q5.2x", "genindex"]
)
def test_other_labels_are_not(label: str) -> None:
    assert not anchors.LABEL.match(label)


@pytest.mark.parametrize(
    ("title", "bare"),
    [
        ("Q0: The bug", "The bug"),
        ("Q0 The bug", "The bug"),
        ("The bug", "The bug"),
        ("Q01 The bug", "Q01 The bug"),
        ("", "Q0"),
    ],
)
def test_title_does_not_repeat_the_id(title: str, bare: str) -> None:
    assert Anchor.titled("q0", "q0", "q0", title).title == bare


def test_short_address_redirects_and_shows_the_citation(tmp_path: Path) -> None:
    anchor = Anchor("q0.1", "q0", "q0-1", "A <fetch> & a hole")

    count = anchors.write_short_addresses(tmp_path, [(anchor, "../q0.html#q0-1", "[Q0.1] ...")])

    text = (tmp_path / "q0.1.html").read_text(encoding="utf-8")
    assert count == 1
    assert '<meta http-equiv="refresh" content="0; url=../q0.html#q0-1">' in text
    assert "<title>Q0.1 A &lt;fetch&gt; &amp; a hole</title>" in text
    assert "<pre>[Q0.1] ...</pre>" in text


def test_addresses_of_an_earlier_build_do_not_linger(tmp_path: Path) -> None:
    (tmp_path / "q9.9.html").write_text("old")

    anchors.write_short_addresses(tmp_path, [(Anchor("q0", "q0", "q0", "x"), "../q0.html#q0", "")])

    assert [path.name for path in tmp_path.iterdir()] == ["q0.html"]


def test_the_books_own_registry_is_sound() -> None:
    assert "q0" in anchors.read_registry(BOOK / "anchors.txt")
