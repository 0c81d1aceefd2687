"""The foot of a page says exactly what the page was made from."""

from __future__ import annotations

from memslotlib import __version__
from memslotlib.booktools.footer import Build, this_build

CLEAN = Build("649b216", False, "0.1.0", "Linux 6.1", "kvm_pvm (out of tree)", "sim", "2026-11-23")


def test_foot_names_commit_version_kernel_module_backend_and_date() -> None:
    assert CLEAN.html() == (
        '<p class="memslots-build"><span><b>commit</b> 649b216</span> '
        "<span><b>memslotlib</b> 0.1.0</span> "
        "<span><b>executed on</b> Linux 6.1, kvm_pvm (out of tree)</span> "
        "<span><b>backend</b> sim</span> <span><b>built</b> 2026-11-23</span></p>"
    )


def test_uncommitted_changes_are_marked() -> None:
    dirty = Build("649b216", True, "0.1.0", "Linux 6.1", "kvm_amd", "sim", "2026-11-23")

    assert "649b216 with uncommitted changes" in dirty.html()
    assert dirty.revision == "649b216+ (2026-11-23)"
    assert CLEAN.revision == "649b216 (2026-11-23)"


def test_facts_are_escaped() -> None:
    odd = Build("<x>", False, "0.1.0", "Linux & co", "kvm_amd", "sim", "2026-11-23")

    assert "&lt;x&gt;" in odd.html()
    assert "Linux &amp; co" in odd.html()


def test_build_of_this_moment_names_this_library_and_the_given_day() -> None:
    build = this_build({"SOURCE_DATE_EPOCH": "0"})

    assert build.date == "1970-01-01"
    assert build.version == __version__
    assert build.kernel.startswith("Linux ")
    assert build.commit
