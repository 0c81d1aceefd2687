"""How the book shows a chart: drawn by a script of its own site, or as SVG where scripts are off.

Registered with myst-nb by the entry point ``myst_nb.mime_renderers``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any, ClassVar
from urllib.parse import quote

from docutils import nodes

from ..views.mime import LAB_MIME, VEGALITE_MIME

#: Class of the raw node that carries a chart; pages without one don't load the drawing script.
CHART_CLASS = "memslots-chart-output"


class VegaLiteRenderer:
    """Render Vega-Lite outputs without asking any other site for a script."""

    mime_priority_overrides: ClassVar[list[tuple[str, str, int]]] = [
        (builder, VEGALITE_MIME, 5) for builder in ("html", "dirhtml", "singlehtml")
    ]

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Element] | None:
        """Return the chart's node; nothing for JupyterLab's copy; None for another's business."""
        if data.mime_type == LAB_MIME:
            return []  # myst-nb renders every type and would warn of one it does not know
        if inline or data.mime_type != VEGALITE_MIME:
            return None
        content = data.content
        spec = content if isinstance(content, dict) else json.loads(content)
        return [nodes.raw(text=chart_html(spec), format="html", classes=["output", CHART_CLASS])]


def chart_html(spec: Mapping[str, Any]) -> str:
    """Return a chart's place on the page: its specification, and its picture for the script-less.

    Raises ValueError when ``spec`` has no description: a chart that only eyes can read.
    """
    import vl_convert

    label = str(spec.get("description") or "")
    if not label:
        raise ValueError("a chart needs .properties(description=...): it is read out in its place")
    # "</script>" inside a string would end the element early.
    body = json.dumps(spec, separators=(",", ":"), sort_keys=True).replace("<", "\\u003c")
    picture = quote(vl_convert.vegalite_to_svg(dict(spec)), safe=" /:=,;()")
    return (
        f'<div class="memslots-chart" role="figure" aria-label="{escape(label)}">'
        f'<script type="application/json">{body}</script>'
        f'<noscript><img alt="{escape(label)}" src="data:image/svg+xml,{picture}"></noscript></div>'
    )
