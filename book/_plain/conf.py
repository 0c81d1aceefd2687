"""The same book with plain, current Sphinx: the way out, should Jupyter Book 1 ever stop working.

Reads what Jupyter Book reads, ``_config.yml`` and ``book/_toc.yml``, and adds nothing of its own.
"""

import sys
from pathlib import Path

import yaml

BOOK = Path(__file__).resolve().parents[1]
ROOT = BOOK.parent
_settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
_sphinx, _execute = _settings["sphinx"], _settings["execute"]

project = html_title = _settings["title"]
author = _settings["author"]
copyright = str(_settings["copyright"])
html_baseurl = _settings["html"]["baseurl"]

extensions = [
    "myst_nb",
    "sphinx_external_toc",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_togglebutton",
    "sphinxcontrib.bibtex",
    *_sphinx["extra_extensions"],
    *_sphinx["local_extensions"],
]
sys.path[:0] = [str(ROOT / folder) for folder in _sphinx["local_extensions"].values()]

external_toc_path = str(BOOK / "_toc.yml")
external_toc_exclude_missing = _settings["only_build_toc_files"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
bibtex_bibfiles = [str(BOOK / name) for name in _settings["bibtex_bibfiles"]]
myst_enable_extensions = _settings["parse"]["myst_enable_extensions"]
myst_url_schemes = ["mailto", "http", "https"]
nb_execution_mode = _execute["execute_notebooks"]
nb_execution_timeout = _execute["timeout"]
nb_execution_allow_errors = _execute["allow_errors"]
nb_execution_raise_on_error = _execute["raise_on_error"]

html_theme = "sphinx_book_theme"
html_static_path = [str(BOOK / "_static")]
html_css_files = sorted(path.name for path in (BOOK / "_static").glob("*.css"))
html_js_files = sorted(path.name for path in (BOOK / "_static").glob("*.js"))
globals().update(_sphinx["config"])
