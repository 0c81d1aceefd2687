"""One Altair renderer and one theme for every place where a chapter is read.

The book draws ``VEGALITE_MIME`` with a script of its own site; JupyterLab draws ``LAB_MIME`` with the
one it ships. Neither asks another site for anything.
"""

from __future__ import annotations

from typing import Any

import altair as alt

#: What Altair 6 speaks, and what JupyterLab 4 draws; our charts mean the same in both.
VEGALITE_MIME = "application/vnd.vegalite.v6+json"
LAB_MIME = "application/vnd.vegalite.v5+json"
LAB_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"

#: Okabe and Ito's colours, told apart by colour-blind readers, in the order of use.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_FONT = "system-ui, sans-serif"


def mime_bundle(spec: dict[str, Any], **_: object) -> dict[str, Any]:
    """Return a chart's outputs by MIME type: the book's, JupyterLab's, and a line of text.

    >>> sorted(mime_bundle({"description": "slots by size", "mark": "bar"}))
    ['application/vnd.vegalite.v5+json', 'application/vnd.vegalite.v6+json', 'text/plain']
    """
    return {
        VEGALITE_MIME: spec,
        LAB_MIME: {**spec, "$schema": LAB_SCHEMA},
        "text/plain": str(spec.get("description") or "a chart"),
    }


def enable() -> None:
    """Make this the renderer and the theme of every Altair chart from here on."""
    alt.renderers.register("memslots", mime_bundle)
    alt.renderers.enable("memslots")
    alt.theme.register("memslots", enable=True)(_theme)


def _theme() -> alt.theme.ThemeConfig:
    text = {"labelFont": _FONT, "titleFont": _FONT, "labelFontSize": 12, "titleFontSize": 12}
    return alt.theme.ThemeConfig(
        config={
            "background": "transparent",
            "font": _FONT,
            "view": {"continuousWidth": 560, "continuousHeight": 260, "stroke": "transparent"},
            "axis": {**text, "titleFontWeight": "normal", "gridOpacity": 0.35, "domain": False},
            "legend": {**text, "titleFontWeight": "normal", "orient": "top"},
            "title": {"anchor": "start", "fontSize": 14, "fontWeight": 600},
            "range": {"category": list(PALETTE)},
        }
    )
