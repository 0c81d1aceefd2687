"""The rules of this tree that no linter knows; ``test_tidy.py`` holds the tree to them.

A rule takes one file, or the whole tree, and yields a finding for each breach: where, what, and
what to do instead.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

ROOT = Path(__file__).resolve().parents[1]

LINES_MAX = 500
FUNCTION_LINES_MAX = 60
COLUMNS_MAX = 100
BLOB_SIZE_MAX_BYTES = 600_000
#: Records are appended and never edited, so their files grow with every recording.
RECORDS = re.compile(r"figures/data/(imported/)?[\w-]+\.jsonl")
RECORDS_SIZE_MAX_BYTES = 8_000_000

#: Made by a program, and as long and as wide as that program likes.
GENERATED = re.compile(r"requirements/\w+\.txt|package-lock\.json|LICENSE.*|figures/data/.*")
CODE = {".py", ".c", ".h", ".S", ".js", ".css", ".sh"}

#: What a file must not say, in files whose name matches, and what to say instead.
BANNED = (
    (r"\.py$", r"\btime\.time\(", "time.monotonic(), or datetime.now(UTC) for a date"),
    (r"\.py$", r"\bdatetime\.(utcnow\(|now\(\))", "datetime.now(UTC)"),
    (r"\.py$", r"\brandom\.[a-z]\w*\(", "random.Random(seed), so that a run can be repeated"),
    (r"\.py$", r"\bos\.system\(|\bshell=True", "subprocess.run with a list"),
    (r"\.py$", r"\bassert_called|\bMagicMock\b", "the real thing, or a small fake of it"),
    (r"\.(py|c|h|js|md)$", r"\b(TODO|FIXME|XXX|HACK)\b", "an issue, or the work itself"),
    (r"\.(py|md)$", r"\bapi\.txt\b", "api.rst, its name since Linux 5.6"),
    (r"\.(py|md)$", r"\b([Uu]tili[sz]|[Ss]eamless|[Bb]lazing|[Cc]utting-edge)\w*", "a plain word"),
)

# In two halves each, so that this file keeps the rule too.
_HOSTS = "|".join(
    re.escape(name + domain)
    for name, domain in (
        ("pypi", ".org"),
        ("files.python", "hosted.org"),
        ("registry.npm", "js.org"),
        ("registry.yarn", "pkg.com"),
        ("conda.ana", "conda.org"),
    )
)
_MACHINE = re.compile(rf"(?<![\w.])/(?:root|home/\w+|opt/py\w*|work)/|{_HOSTS}")

#: Modules without a test file of their own, and why; a file that is named here has to exist.
UNTESTED = {
    "memslotlib/conformance/behaviour.py": "a table, run by tests/conformance/test_table.py",
    "memslotlib/conformance/logcases.py": "a table, run by tests/conformance/test_table.py",
    "memslotlib/abi/region_rules.py": "each rule is broken by tests/conformance/test_table.py",
    "memslotlib/abi/rule.py": "tested with the rules: tests/abi/test_rules.py",
    "memslotlib/booktools/paths.py": "names of folders; tests/booktools/test_build.py uses them",
    "memslotlib/uapi.py": "numbers alone; tests/host/test_capabilities.py asks the kernel for them",
}


@dataclass(frozen=True)
class File:
    """One text file of the tree: its path from the root, and its content."""

    path: PurePosixPath
    text: str

    @property
    def is_generated(self) -> bool:
        """Whether a program wrote it."""
        return GENERATED.fullmatch(str(self.path)) is not None


@dataclass(frozen=True)
class Tree:
    """Every file that git tracks or would add, with its size in bytes."""

    sizes_bytes: Mapping[PurePosixPath, int]
    texts: tuple[File, ...]


FileRule = Callable[[File], Iterator[str]]
TreeRule = Callable[[Tree], Iterator[str]]


def tree(root: Path = ROOT) -> Tree:
    """Read the tree; a file that is no UTF-8 text counts with its size alone."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    paths = [PurePosixPath(name) for name in sorted(set(filter(None, listed.split("\0"))))]
    paths = [path for path in paths if (root / path).is_file()]
    texts = []
    for path in paths:
        try:
            texts.append(File(path, (root / path).read_text("utf-8")))
        except UnicodeDecodeError:
            continue
    return Tree({path: (root / path).stat().st_size for path in paths}, tuple(texts))


def short_files(file: File) -> Iterator[str]:
    """A file of code has at most 500 lines."""
    lines = file.text.count("\n")
    if file.path.suffix in CODE and lines > LINES_MAX:
        yield f"{file.path}: {lines} lines, more than {LINES_MAX}: one room for one idea"


def short_functions(file: File) -> Iterator[str]:
    """A function has at most 60 lines, its docstring included."""
    if file.path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(file.text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                where = f"{file.path}:{node.lineno}: {node.name}"
                yield f"{where}: {lines} lines, more than {FUNCTION_LINES_MAX}"


def narrow_lines(file: File) -> Iterator[str]:
    """A line of code has at most 100 columns, no tabs but where a language wants them, no tail."""
    if file.path.suffix not in CODE:
        return
    for number, line in enumerate(file.text.splitlines(), 1):
        if len(line) > COLUMNS_MAX:
            yield f"{file.path}:{number}: {len(line)} columns, more than {COLUMNS_MAX}"
        if line != line.rstrip():
            yield f"{file.path}:{number}: blanks at the end of the line"


def whole_last_line(file: File) -> Iterator[str]:
    """A text file ends with one newline."""
    if file.text and not file.is_generated and not re.search(r"[^\n]\n\Z", file.text):
        yield f"{file.path}: does not end with exactly one newline"


def no_banned_words(file: File) -> Iterator[str]:
    """Some calls and words have a better one; ``tests/tidy.py`` itself has to list them."""
    if file.is_generated or file.path.name in {"tidy.py", "test_tidy.py"}:
        return
    for name, pattern, instead in BANNED:
        if re.search(name, file.path.name):
            for number, found in _matches(pattern, file.text):
                yield f"{file.path}:{number}: {found!r}: use {instead}"


def no_machine(file: File) -> Iterator[str]:
    """No path of somebody's machine, no host of a package registry: both are the user's own."""
    for number, found in _matches(_MACHINE, file.text):
        yield f"{file.path}:{number}: {found!r}: neither a machine's path nor a registry's host"


def one_title(file: File) -> Iterator[str]:
    """A page has one H1."""
    if file.path.suffix == ".md" and file.path.parts[0] != ".github":
        prose = re.sub(r"^(`{3,}|~{3,}).*?^\1", "", file.text, flags=re.DOTALL | re.MULTILINE)
        titles = len(re.findall(r"^# ", prose, re.MULTILINE))
        if titles != 1:
            yield f"{file.path}: {titles} H1 titles, not one"


def changelog_shape(file: File) -> Iterator[str]:
    """CHANGELOG.md keeps its shape: [Unreleased] first, dated versions, six kinds of change."""
    if file.path.name != "CHANGELOG.md":
        return
    versions = re.findall(r"^## (.*)$", file.text, re.MULTILINE)
    if not versions or versions[0] != "[Unreleased]":
        yield f"{file.path}: the first section is not [Unreleased]"
    for version in versions[1:]:
        if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", version):
            yield f"{file.path}: {version!r} is not [1.2.3] - 2026-01-31"
    for kind in re.findall(r"^### (.*)$", file.text, re.MULTILINE):
        if kind not in {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}:
            yield f"{file.path}: {kind!r} is no kind of change"


def small_blobs(tree: Tree) -> Iterator[str]:
    """No file is big: data is made or fetched, not kept in git."""
    for path, size_bytes in tree.sizes_bytes.items():
        is_record = RECORDS.fullmatch(str(path))
        limit = RECORDS_SIZE_MAX_BYTES if is_record else BLOB_SIZE_MAX_BYTES
        if size_bytes > limit:
            yield f"{path}: {size_bytes:,} bytes, more than {limit:,}"


def no_outputs(tree: Tree) -> Iterator[str]:
    """Chapters are MyST Markdown, which cannot hold outputs; notebooks can."""
    for path in tree.sizes_bytes:
        if path.suffix == ".ipynb":
            yield f"{path}: a notebook; write it as MyST Markdown, which holds no outputs"


def modules_have_tests(tree: Tree) -> Iterator[str]:
    """``memslotlib/a/b.py`` is tested by ``tests/a/test_b.py``, or says here why it is not."""
    for path in sorted(tree.sizes_bytes):
        if path.parts[0] != "memslotlib" or path.suffix != ".py" or path.name == "__init__.py":
            continue
        test = PurePosixPath("tests", *path.parts[1:-1], f"test_{path.name}")
        if (test in tree.sizes_bytes) == (str(path) in UNTESTED):
            verb = (
                "has a test now: drop it from" if str(path) in UNTESTED else "add it, or say why in"
            )
            yield f"{path}: {test} {verb} tests/tidy.py UNTESTED"


def pages_in_toc(tree: Tree) -> Iterator[str]:
    """Every page of the book is in its table of contents, and every entry has its page."""
    toc = next((f for f in tree.texts if f.path == PurePosixPath("book/_toc.yml")), None)
    listed = set(_toc_pages(yaml.safe_load(toc.text))) if toc else set()
    pages = {
        str(path.relative_to("book").with_suffix(""))
        for path in tree.sizes_bytes
        if path.parts[0] == "book" and path.suffix == ".md" and path.parts[1][0] != "_"
    }
    yield from (f"book/{name}.md: not in book/_toc.yml" for name in sorted(pages - listed))
    yield from (f"book/_toc.yml: {name}: no such page" for name in sorted(listed - pages))


FILE_RULES: tuple[FileRule, ...] = (
    short_files,
    short_functions,
    narrow_lines,
    whole_last_line,
    no_banned_words,
    no_machine,
    one_title,
    changelog_shape,
)
TREE_RULES: tuple[TreeRule, ...] = (small_blobs, no_outputs, modules_have_tests, pages_in_toc)


def _matches(pattern: str | re.Pattern[str], text: str) -> Iterator[tuple[int, str]]:
    for match in re.finditer(pattern, text):
        yield text.count("\n", 0, match.start()) + 1, match.group()


def _toc_pages(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (str(node[key]) for key in ("root", "file") if key in node)
        for value in node.values():
            yield from _toc_pages(value)
    elif isinstance(node, list):
        for value in node:
            yield from _toc_pages(value)
