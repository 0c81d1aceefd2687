"""One Altair renderer and one theme for every place where a chapter is read.

A chapter calls :func:`enable` once, before its first chart, and gives each chart a description.
"""

from __future__ import annotations

import altair as alt

from .mime import mime_bundle

#: Okabe and Ito's colours, told apart by colour-blind readers, in the order of use.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_FONT = "system-ui, sans-serif"


def enable() -> None:
    """Make this the renderer and the theme of every Altair chart from here on."""
    alt.renderers.register("memslots", mime_bundle)
    alt.renderers.enable("memslots")
    alt.theme.register("memslots", enable=True)(_theme)


def _theme() -> alt.theme.ThemeConfig:
    return alt.theme.ThemeConfig(
        config={
            "background": "transparent",
            "mark": {"color": PALETTE[0]},
            "font": _FONT,
            "view": {"continuousWidth": 560, "continuousHeight": 260, "stroke": "transparent"},
            "axis": {
                "labelFontSize": 12,
                "titleFontSize": 12,
                "titleFontWeight": "normal",
                "gridOpacity": 0.35,
                "domain": False,
            },
            "legend": {
                "labelFontSize": 12,
                "titleFontSize": 12,
                "titleFontWeight": "normal",
                "orient": "top",
            },
            "title": {"anchor": "start", "fontSize": 14, "fontWeight": 600},
            "range": {"category": list(PALETTE)},
        }
    )
