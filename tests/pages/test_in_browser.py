"""Every page in headless Chromium: it asks nobody else, nothing fails, everybody can read it."""

from __future__ import annotations

import pytest
from pages.browsing import AXE, PHONE, SITE, Record, Visitor, pages
from playwright.sync_api import Page

pytestmark = pytest.mark.needs_tool("chromium")

MAX_FIRST_VIEW_BYTES = 1_000_000
CHART_PAGES = [p for p in pages() if 'class="memslots-chart"' in (SITE / p).read_text("utf-8")]
SHORT_ADDRESSES = sorted(path.name for path in (SITE / "r").glob("*.html"))
every_page = pytest.mark.parametrize("page", pages())


def test_page_asks_no_other_site_and_nothing_fails(opened: tuple[Page, Record]) -> None:
    tab, record = opened

    assert record.loaded, "nothing was loaded: the checks below would see nothing"
    assert record.blocked == []
    assert record.complaints == []
    assert record.failures == []
    failed = tab.eval_on_selector_all(".memslots-chart", "cs => cs.map(c => c.dataset.failed)")
    assert not any(failed)


def test_first_view_is_at_most_a_megabyte(opened: tuple[Page, Record]) -> None:
    _, record = opened
    sizes = record.compressed_sizes()

    assert sizes
    assert sum(sizes.values()) <= MAX_FIRST_VIEW_BYTES, sizes


def test_charts_are_drawn_with_scripts(opened: tuple[Page, Record]) -> None:
    tab, _ = opened
    for chart in tab.locator(".memslots-chart").all():
        assert chart.locator("svg.marks path").count() > 0
        assert chart.get_attribute("aria-label")


def test_light_page_has_no_serious_accessibility_finding(opened: tuple[Page, Record]) -> None:
    tab, _ = opened

    assert _theme(tab) == "light"
    assert _serious(tab) == []


@every_page
def test_dark_page_has_no_serious_accessibility_finding(visitor: Visitor, page: str) -> None:
    with visitor.visit(page, scheme="dark") as (tab, _):
        assert _theme(tab) == "dark"
        assert _serious(tab) == []


@every_page
def test_page_fits_a_phone(visitor: Visitor, page: str) -> None:
    with visitor.visit(page, viewport=PHONE) as (tab, _):
        widths = tab.evaluate(
            "() => [document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]"
        )
    assert max(widths[:2]) <= widths[2] == PHONE["width"], f"scrolls sideways: {widths}"


@pytest.mark.parametrize("page", CHART_PAGES)
def test_charts_are_pictures_without_scripts(visitor: Visitor, page: str) -> None:
    with visitor.visit(page, scripts=False) as (tab, _):
        charts = tab.locator(".memslots-chart").all()
        assert charts
        for chart in charts:
            box = chart.locator("img").bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) > 50


@pytest.mark.parametrize("page", SHORT_ADDRESSES)
def test_short_address_lands_on_its_anchor(visitor: Visitor, page: str) -> None:
    with visitor.visit(f"r/{page}") as (tab, _):
        tab.wait_for_url(lambda url: "/r/" not in url)

        assert tab.url.endswith("#" + page.removesuffix(".html").replace(".", "-"))
        assert tab.locator("*:target").count() == 1


@pytest.mark.skipif(not SHORT_ADDRESSES, reason="no built book")
def test_cite_button_copies_plain_text(visitor: Visitor) -> None:
    with visitor.visit("q0.html") as (tab, _):
        tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
        tab.get_by_role("button", name="cite Q0", exact=True).click()
        text = tab.evaluate("navigator.clipboard.readText()")

    assert text.startswith("[Q0] ")
    assert text.endswith("/r/q0.html")
    assert max(map(len, text.splitlines())) <= 72


def test_a_request_to_another_site_is_blocked_and_counted(visitor: Visitor) -> None:
    with visitor.visit("search.html") as (tab, record):
        tab.evaluate("fetch('https://elsewhere.invalid/x.js').catch(() => 0)")
        tab.wait_for_timeout(100)

        assert record.blocked == ["https://elsewhere.invalid/x.js"]


def _theme(tab: Page) -> object:
    return tab.evaluate("document.documentElement.dataset.theme")


def _serious(tab: Page) -> list[str]:
    """Return axe's findings that keep someone from reading the page, one for each element."""
    assert AXE.exists(), f"{AXE} is missing: run `npm ci`"
    tab.add_script_tag(path=AXE)
    findings = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"{one['id']} ({one['impact']}) {node['target']}: {node['failureSummary']}"
        for one in findings
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]
