"""The tree keeps its rules, and each rule is seen to fire on a sample that breaks it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import PurePosixPath

import pytest
import tidy
from tidy import FILE_RULES, TREE_RULES, File, FileRule, Tree, TreeRule

LONG_FUNCTION = "def f() -> None:\n" + "    pass\n" * 60
HOME = "/ho" + "me/someone/x"

#: Rule, a file that breaks it, and what the rule must say.
BAD_FILES = [
    ("short_files", "a.py", "\n" * 501, "a.py: 501 lines, more than 500: one room for one idea"),
    ("short_functions", "a.py", LONG_FUNCTION, "a.py:1: f: 61 lines, more than 60"),
    ("narrow_lines", "a.c", "\n" + "x" * 101 + "\n", "a.c:2: 101 columns, more than 100"),
    ("narrow_lines", "a.c", "x \n", "a.c:1: blanks at the end of the line"),
    ("whole_last_line", "a.txt", "x", "a.txt: does not end with exactly one newline"),
    ("whole_last_line", "a.txt", "x\n\n", "a.txt: does not end with exactly one newline"),
    (
        "no_banned_words",
        "a.py",
        "\nt = time.time()\n",
        "a.py:2: 'time.time(': use time.monotonic(), or datetime.now(UTC) for a date",
    ),
    (
        "no_banned_words",
        "a.md",
        "see api.txt\n",
        "a.md:1: 'api.txt': use api.rst, its name since Linux 5.6",
    ),
    (
        "no_machine",
        "a.yml",
        f"path: {HOME}\n",
        f"a.yml:1: '{HOME[:-1]}': neither a machine's path nor a registry's host",
    ),
    (
        "no_machine",
        "a.json",
        '"https://registry.npm' + 'js.org/x"\n',
        "a.json:1: 'registry.npm" + "js.org': neither a machine's path nor a registry's host",
    ),
    ("one_title", "a.md", "# A\n\n# B\n", "a.md: 2 H1 titles, not one"),
    ("one_title", "a.md", "```sh\n# A\n```\n", "a.md: 0 H1 titles, not one"),
    (
        "changelog_shape",
        "CHANGELOG.md",
        "# Changes\n\n## 1.0\n",
        "CHANGELOG.md: the first section is not [Unreleased]",
    ),
    (
        "changelog_shape",
        "CHANGELOG.md",
        "## [Unreleased]\n\n## [1.0]\n",
        "CHANGELOG.md: '[1.0]' is not [1.2.3] - 2026-01-31",
    ),
    (
        "changelog_shape",
        "CHANGELOG.md",
        "## [Unreleased]\n\n### News\n",
        "CHANGELOG.md: 'News' is no kind of change",
    ),
]

BAD_TREES = [
    ("small_blobs", {"a.bin": 600_001}, "", "a.bin: 600,001 bytes, more than 600,000"),
    (
        "small_blobs",
        {
            "figures/data/q0.jsonl": 8_000_001,
            "figures/data/q1.jsonl": 8_000_000,
            "figures/data/imported/5bcd726d.jsonl": 8_000_000,
        },
        "",
        "figures/data/q0.jsonl: 8,000,001 bytes, more than 8,000,000",
    ),
    (
        "no_outputs",
        {"a.ipynb": 1},
        "",
        "a.ipynb: a notebook; write it as MyST Markdown, which holds no outputs",
    ),
    (
        "modules_have_tests",
        {"memslotlib/abi/x.py": 1},
        "",
        "memslotlib/abi/x.py: tests/abi/test_x.py add it, or say why in tests/tidy.py UNTESTED",
    ),
    ("pages_in_toc", {"book/q9.md": 1}, "root: q9\nfile: q8\n", "book/_toc.yml: q8: no such page"),
    ("pages_in_toc", {"book/q9.md": 1}, "{}\n", "book/q9.md: not in book/_toc.yml"),
]

#: What would be a breach elsewhere, but is none here.
GOOD_FILES = [
    ("a.md", "# A\n\n```sh\n# a comment\n```\n"),
    ("CHANGELOG.md", "# Changes\n\n## [Unreleased]\n\n### Added\n\n## [0.1.0] - 2026-11-23\n"),
    ("a.py", "import random\n\nrandom.Random(1).random()\n"),
    ("README.md", "# A\n\nhttps://example.org/home/x and a/wo" + "rk/b\n"),
]


@pytest.fixture(scope="session")
def tree() -> Tree:
    """The files of this checkout."""
    try:
        return tidy.tree()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")


@pytest.mark.parametrize("rule", FILE_RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps(rule: FileRule, tree: Tree) -> None:
    findings = [finding for file in tree.texts for finding in rule(file)]
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize("rule", TREE_RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps(rule: TreeRule, tree: Tree) -> None:
    findings = list(rule(tree))
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize(("rule", "name", "text", "finding"), BAD_FILES)
def test_a_rule_finds_a_bad_file(rule: str, name: str, text: str, finding: str) -> None:
    assert finding in list(getattr(tidy, rule)(File(PurePosixPath(name), text)))


@pytest.mark.parametrize(("rule", "sizes", "toc", "finding"), BAD_TREES)
def test_a_rule_finds_a_bad_tree(rule: str, sizes: dict[str, int], toc: str, finding: str) -> None:
    toc_file = File(PurePosixPath("book/_toc.yml"), toc)
    bad = Tree({PurePosixPath(name): size for name, size in sizes.items()}, (toc_file,))
    assert list(getattr(tidy, rule)(bad)) == [finding]


@pytest.mark.parametrize(("name", "text"), GOOD_FILES)
def test_a_good_file_is_left_alone(name: str, text: str) -> None:
    file = File(PurePosixPath(name), text)
    assert [finding for rule in FILE_RULES for finding in rule(file)] == []


def test_every_rule_has_a_sample_that_breaks_it() -> None:
    rules = {rule.__name__ for rule in (*FILE_RULES, *TREE_RULES)}
    assert rules == {sample[0] for sample in (*BAD_FILES, *BAD_TREES)}


def test_every_exception_names_files_that_exist(tree: Tree) -> None:
    paths = {str(path) for path in tree.sizes_bytes}
    named = {name for why in tidy.UNTESTED.values() for name in re.findall(r"tests/\S+\.py", why)}
    assert set(tidy.UNTESTED) | named <= paths


@pytest.mark.parametrize(
    "module",
    [
        "memslotlib",
        "memslotlib.abi",
        "memslotlib.verdict",
        "memslotlib.litmus",
        "memslotlib.claims",
    ],
)
def test_the_core_imports_without_what_a_browser_lacks(module: str) -> None:
    heavy = ["cffi", "_cffi_backend", "altair", "ipywidgets", "memslotlib._kvm"]
    program = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
