"""The site's own links, checked in its HTML: every page, file and anchor that they name exists."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

from memslotlib.booktools.anchors import read_registry
from memslotlib.booktools.paths import BOOK


@cache
def _parsed(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


@cache
def _ids(page: Path) -> frozenset[str]:
    named = _parsed(page).find_all(id=True)
    return frozenset(str(tag["id"]) for tag in named)


def _targets(page: Path) -> list[str]:
    found = [
        str(tag[attribute])
        for attribute in ("href", "src")
        for tag in _parsed(page).find_all(attrs={attribute: True})
        if tag.get("rel") != ["canonical"] or page.parent.name == "r"
    ]
    return [one for one in found if not urlsplit(one).scheme and not one.startswith("//")]


def _problem(page: Path, target: str) -> str:
    parts = urlsplit(target)
    to = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if to.is_dir():
        to /= "index.html"
    if not to.exists():
        return f"{page.name}: {target}: no such file"
    # "#" alone is the top; a fragment of a script's or a picture's address is its own matter.
    if parts.fragment and to.suffix == ".html" and unquote(parts.fragment) not in _ids(to):
        return f"{page.name}: {target}: no such anchor"
    return ""


def test_no_link_of_the_site_is_dead(site: Path) -> None:
    pages = [*site.glob("*.html"), *(site / "r").glob("*.html")]
    links = [(page, target) for page in pages for target in _targets(page)]

    assert len(links) > len(pages), "hardly any link was found: the check saw nothing"
    assert [told for page, target in links if (told := _problem(page, target))] == []


def test_link_check_sees_a_missing_file_and_a_missing_anchor(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    page.write_text('<p id="here"><a href="#gone">x</a><a href="b.html">y</a><a href="#here">z</a>')

    assert [_problem(page, target) for target in _targets(page)] == [
        "a.html: #gone: no such anchor",
        "a.html: b.html: no such file",
        "",
    ]


def test_every_published_anchor_has_its_short_address(site: Path) -> None:
    published = read_registry(BOOK / "anchors.txt")

    missing = [label for label in published if not (site / "r" / f"{label}.html").exists()]

    assert published
    assert missing == []


def test_every_page_tells_what_it_was_made_from(site: Path) -> None:
    for page in site.glob("*.html"):
        if page.name == "index.html":
            continue  # an address that leads to the first page
        foot = _parsed(page).select_one(".memslots-build")
        assert foot is not None, page.name
        terms = [term.get_text() for term in foot.select("b")]
        assert terms == ["commit", "memslotlib", "executed on", "backend", "built"], page.name


def test_no_page_names_a_script_or_style_of_another_site(site: Path) -> None:
    for page in site.glob("*.html"):
        for tag in _parsed(page).find_all(["script", "link", "img", "iframe"]):
            if tag.get("rel") == ["canonical"]:
                continue
            address = str(tag.get("src") or tag.get("href") or "")
            assert not urlsplit(address).netloc, f"{page.name}: {address}"
