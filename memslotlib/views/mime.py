"""The MIME types of a chart, one for each place where it is drawn.

The book draws ``VEGALITE_MIME`` with a script of its own site; JupyterLab draws ``LAB_MIME`` with
the one it ships. Neither asks another site for anything.
"""

from __future__ import annotations

from typing import Any

#: What Altair 6 speaks, and what JupyterLab 4 draws; our charts mean the same in both.
VEGALITE_MIME = "application/vnd.vegalite.v6+json"
LAB_MIME = "application/vnd.vegalite.v5+json"
LAB_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


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
