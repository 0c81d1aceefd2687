"""Hooks the book's own tools into Sphinx; what they do is in memslotlib.booktools."""

import json
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from memslotlib import claims
from memslotlib.booktools import anchors, cachekey, claimbox, footer, vendor
from memslotlib.booktools.citation import citation
from memslotlib.booktools.execute import environment
from memslotlib.booktools.mime import CHART_CLASS
from memslotlib.booktools.paths import BookError

log = logging.getLogger(__name__)


def configure(app, config):
    """Point Sphinx at the executed chapters, at our own scripts, and at this build's footer."""
    environment()
    config.nb_execution_cache_path = str(cachekey.chosen_cache())
    config.html_static_path.append(str(vendor.provide()))
    config.mathjax_path = vendor.MATHJAX
    config.nb_ipywidgets_js = {vendor.MATHJAX_SHIM: {"defer": "defer"}, vendor.WIDGETS: {}}
    app.memslots_build = footer.this_build()
    config.html_theme_options["extra_footer"] = app.memslots_build.html()


class HandWrittenIdsFirst(SphinxTransform):
    """Put a label's id before the one that docutils makes of the heading's words.

    Permalinks use the first; a heading that is reworded then keeps its address.
    """

    default_priority = 400  # after PropagateTargets (260), before the collectors run

    def apply(self, **_):
        """Reorder the ids of every labelled section."""
        for section in self.document.findall(nodes.section):
            ids = [self.document.nameids.get(n) for n in section["names"] if anchors.LABEL.match(n)]
            hand = [i for i in ids if i in section["ids"]]
            section["ids"] = hand + [i for i in section["ids"] if i not in hand]


def fill_claims(app, document):
    """Fill the page's claim boxes and make each one's label known with its title."""
    registry = Path(app.srcdir) / "claims"
    known = claims.load(registry)
    page = app.env.docname
    for box in claimbox.boxes(document):
        try:
            claim = claimbox.fill(box, known, page)
        except BookError as error:
            raise ExtensionError(str(error)) from error
        fragment = document.nameids[claim.anchor]
        app.env.get_domain("std").labels[claim.anchor] = (page, fragment, claim.title)
    claimbox.mark_verdicts(document)
    for path in sorted(registry.glob("*.toml")):
        app.env.note_dependency(str(path))


def number_captions(app, document):
    """Begin the caption of every labelled figure and table with its permanent id."""
    for block in document.findall(lambda n: isinstance(n, nodes.figure | nodes.table)):
        label = next((n for n in block["names"] if anchors.LABEL.match(n)), None)
        for caption in block.children:
            if label and isinstance(caption, nodes.caption | nodes.title):
                caption.insert(0, [nodes.strong("", anchors.spell(label)), nodes.Text(" ")])


def all_anchors(env):
    """Return every permanent id of the book, in the order of labels."""
    std = env.get_domain("std")
    titles = {name: title for name, (_, _, title) in std.labels.items()}
    return [
        anchors.Anchor.titled(name, page, fragment, titles.get(name, ""))
        for name, (page, fragment) in sorted(std.anonlabels.items())
        if anchors.LABEL.match(name)
    ]


def check_anchors(app, env):
    """Tell of published ids that are gone and of unregistered ones: under -W the build fails."""
    published = anchors.read_registry(Path(app.srcdir) / "anchors.txt")
    gone, new = anchors.compare(published, [anchor.label for anchor in all_anchors(env)])
    if gone:
        log.error("published anchors are missing from the book: %s", ", ".join(gone))
    if new:
        log.warning("new anchors, not yet listed in book/anchors.txt: %s", ", ".join(new))


def check_headings(app, document):
    """Warn of a heading of a question's chapter that has no permanent id."""
    sections = list(document.findall(nodes.section))
    labelled = [any(anchors.LABEL.match(n) for n in s["names"]) for s in sections]
    if not sections or not labelled[0]:
        return
    for section, has_label in zip(sections, labelled, strict=True):
        if not has_label:
            log.warning("heading without a permanent id: %s", section[0].astext(), location=section)


def finish_page(app, pagename, templatename, context, doctree):
    """Load the scripts that the page uses and no others; give the cite buttons their texts."""
    has_math = doctree is not None and any(doctree.findall(_is_math))
    # sphinx-thebe, always part of Jupyter Book 1, names a script of another site on every page.
    unused = ("thebe",) if has_math else ("thebe", "mathjax")
    for kind in ("script_files", "css_files"):  # in place: add_js_file() adds to this very list
        context[kind][:] = [f for f in context[kind] if not any(u in _told(f) for u in unused)]
    if doctree is None:
        return
    # docutils says "list" of a list whose children are no list items, which screen readers refuse.
    context["body"] = context["body"].replace('role="list" class="citation-list"', "")
    if any(CHART_CLASS in raw["classes"] for raw in doctree.findall(nodes.raw)):
        app.add_js_file(vendor.CHARTS, defer="defer")
    texts = {
        a.fragment: {"id": a.id, "text": _citation(app, a)}
        for a in all_anchors(app.env)
        if a.page == pagename
    }
    if texts:
        body = json.dumps(texts).replace("<", "\\u003c")
        app.add_js_file(None, body=body, type="application/json", id="memslots-cite")


def _is_math(node):
    return isinstance(node, nodes.math | nodes.math_block)


def drop_icon_script(app, error):
    """Empty the theme's script of 1.5 MB that draws custom icons: its own come from a font."""
    script = Path(app.outdir) / "_static" / "scripts" / "fontawesome.js"
    if error is None and script.exists():
        script.write_text("// The icons of this site come from a font.\n", encoding="utf-8")


def short_addresses(app, error):
    """Write r/<id>.html for every permanent id."""
    if error or app.builder.name != "html":
        return
    pages = (
        (a, f"../{app.builder.get_target_uri(a.page)}#{a.fragment}", _citation(app, a))
        for a in all_anchors(app.env)
    )
    anchors.write_short_addresses(Path(app.outdir) / "r", pages)


def _citation(app, anchor):
    return citation(
        anchor,
        book=app.config.html_title,
        revision=app.memslots_build.revision,
        base_url=app.config.html_baseurl.rstrip("/"),
    )


def _told(script):
    attributes = getattr(script, "attributes", {})
    return f"{getattr(script, 'filename', script)} {attributes.get('body', '')}".lower()


def setup(app: Sphinx):
    """Connect the hooks."""
    app.add_transform(HandWrittenIdsFirst)
    app.connect("config-inited", configure, priority=50)
    app.connect("doctree-read", fill_claims)
    app.connect("doctree-read", number_captions)
    app.connect("doctree-read", check_headings)
    app.connect("env-check-consistency", check_anchors)
    app.connect("html-page-context", finish_page, priority=900)
    app.connect("build-finished", drop_icon_script)
    app.connect("build-finished", short_addresses)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}
