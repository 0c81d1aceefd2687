"""Scripts and fonts that the pages serve from their own site: no page asks anyone else.

They live under ``_build/vendor``, not ``book/_static``: Jupyter Book puts every script of the
latter on every page. A page loads only what it uses.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

from . import nodejs
from .paths import BOOK, BUILD, NODE_MODULES, ROOT

#: The folder that Sphinx copies to ``_static``; everything in it is below ``vendor/``.
VENDOR = BUILD / "vendor"
SCRIPTS = BOOK / "_ext" / "js"
#: Addresses below ``_static``.
CHARTS = "vendor/charts.js"
MATHJAX = "vendor/mathjax/tex-mml-chtml.js"
MATHJAX_SHIM = "vendor/mathjax-hub-shim.js"
WIDGETS = "vendor/widgets/embed.js"

_FROM_NODE = {
    "mathjax/es5/tex-mml-chtml.js": MATHJAX,
    "mathjax/es5/output/chtml/fonts/woff-v2": "vendor/mathjax/output/chtml/fonts/woff-v2",
    "@jupyter-widgets/html-manager/dist/embed.js": WIDGETS,
}


def provide() -> Path:
    """Return the vendor folder, made anew when one of its sources has changed.

    Raises BookError when npm is needed and cannot be had.
    """
    wanted = _stamp()
    stamp = VENDOR / ".stamp"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return VENDOR
    if not _packages_are_there():
        nodejs.install_packages()
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD, prefix=".vendor-") as made:
        fresh = Path(made) / "vendor"
        _fill(fresh)
        (fresh / ".stamp").write_text(wanted, encoding="utf-8")
        if VENDOR.exists():
            VENDOR.replace(Path(made) / "old")
        fresh.replace(VENDOR)
    return VENDOR


def _fill(folder: Path) -> None:
    for source, target in _FROM_NODE.items():
        _copy(NODE_MODULES / source, folder / target)
    for font in (NODE_MODULES / "@jupyter-widgets/html-manager/dist").glob("*.woff2"):
        _copy(font, (folder / WIDGETS).parent / font.name)
    _copy(SCRIPTS / "mathjax-hub-shim.js", folder / MATHJAX_SHIM)
    (folder / CHARTS).write_text(_chart_bundle(), encoding="utf-8")


def _chart_bundle() -> str:
    """Return Vega, Vega-Lite, Vega-Embed and our start-up as one classic script.

    Classic and deferred, not a module: it then also works from file:// and beside require.js.
    """
    import vl_convert

    start = (SCRIPTS / "charts.js").read_text(encoding="utf-8")
    return f"(() => {{{vl_convert.javascript_bundle(start)}}})();\n"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def _packages_are_there() -> bool:
    return all((NODE_MODULES / source).exists() for source in _FROM_NODE)


def _stamp() -> str:
    whole = hashlib.sha256(metadata.version("vl-convert-python").encode())
    for path in (ROOT / "package-lock.json", Path(__file__), *sorted(SCRIPTS.glob("*.js"))):
        whole.update(path.read_bytes())
    return whole.hexdigest()
