"""A chart needs no other site: drawn from the page's own data, or a picture without scripts."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import altair as alt
import pytest

from memslotlib.booktools.mime import CHART_CLASS, VegaLiteRenderer, chart_html
from memslotlib.views import charts
from memslotlib.views.mime import LAB_MIME, VEGALITE_MIME


@pytest.fixture
def spec() -> dict[str, Any]:
    rows = [{"access": "</script><b>", "hits": 3}]
    chart = alt.Chart(alt.Data(values=rows)).mark_bar().encode(x="hits:Q", y="access:N")
    made: dict[str, Any] = chart.properties(description='hits "by" access').to_dict()
    return made


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def _mime(kind: str, content: object) -> SimpleNamespace:
    return SimpleNamespace(mime_type=kind, content=content)


def test_chart_carries_its_specification_unharmed(spec: dict[str, Any]) -> None:
    page = _Tags(chart_html(spec))

    assert [tag for tag, _ in page.tags] == ["div", "script", "noscript", "img"]
    assert json.loads(page.words) == spec


def test_chart_has_a_picture_and_a_name_for_every_reader(spec: dict[str, Any]) -> None:
    tags = dict(_Tags(chart_html(spec)).tags)

    assert tags["div"]["aria-label"] == tags["img"]["alt"] == 'hits "by" access'
    kind, _, svg = str(tags["img"]["src"]).partition(",")
    assert kind == "data:image/svg+xml"
    assert unquote(svg).startswith("<svg")
    assert unquote(svg).endswith("</svg>")


def test_chart_names_no_other_site(spec: dict[str, Any]) -> None:
    text = chart_html({**spec, "$schema": ""}).replace("http://www.w3.org", "")

    assert "http" not in unquote(text).replace("http://www.w3.org", "")


def test_chart_without_description_is_refused(spec: dict[str, Any]) -> None:
    del spec["description"]

    with pytest.raises(ValueError, match="description"):
        chart_html(spec)


def test_renderer_takes_its_type_as_text_or_as_object(spec: dict[str, Any]) -> None:
    for content in (spec, json.dumps(spec)):
        nodes = VegaLiteRenderer.handle_mime(None, _mime(VEGALITE_MIME, content), False)
        assert nodes is not None
        assert CHART_CLASS in nodes[0]["classes"]
        assert nodes[0].astext() == chart_html(spec)


def test_renderer_drops_the_copy_for_jupyterlab_and_leaves_the_rest(spec: dict[str, Any]) -> None:
    assert VegaLiteRenderer.handle_mime(None, _mime(LAB_MIME, spec), False) == []
    assert VegaLiteRenderer.handle_mime(None, _mime("text/plain", "x"), False) is None
    assert VegaLiteRenderer.handle_mime(None, _mime(VEGALITE_MIME, spec), True) is None


def test_altair_speaks_both_types_and_text_once_enabled() -> None:
    with alt.renderers.enable("default"), alt.theme.enable("default"):
        charts.enable()
        chart = alt.Chart(alt.Data(values=[{"a": 1}])).mark_point().encode(x="a:Q")
        bundle = chart.properties(description="points")._repr_mimebundle_()

    assert set(bundle) == {VEGALITE_MIME, LAB_MIME, "text/plain"}
    assert bundle["text/plain"] == "points"
    assert "/v5" in bundle[LAB_MIME]["$schema"]
    assert "/v6" in bundle[VEGALITE_MIME]["$schema"]
    assert bundle[VEGALITE_MIME]["config"]["range"]["category"] == list(charts.PALETTE)


def test_renderer_is_registered_with_myst_nb() -> None:
    from myst_nb.core.render import load_mime_renders

    assert VegaLiteRenderer in load_mime_renders()
