"""The two passes that change the simulator's code and run its tests on each change.

mutmut changes the bodies of functions. What it leaves alone (the tables of rules with their tests,
properties, constants, fields) gets the same changes here, a whole file at a time. Left out:

- type annotations and docstrings: no logic; mypy and the doctests answer for them;
- the words of a ``Rule(...)``: tests/abi/rules.txt pins every one of them, and hundreds of sure
  kills would only flatter the score;
- the names in ``__slots__`` and ``__all__``: a missing one cannot be used.
"""

from __future__ import annotations

import difflib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

CODE = Path("memslotlib/abi")
#: Where mutmut works.
MUTMUT_TREE = Path("mutants")
JOBS = os.cpu_count() or 1
TIMEOUT_SECONDS = 60
#: pytest's status when a test failed, when a file could not be collected, when a hook broke.
KILLED_STATUSES = {1, 2, 3}
# Hypothesis draws the same examples each time, and no stale bytecode stands in for a changed file.
ENVIRONMENT = {**os.environ, "CI": "1", "PYTHONDONTWRITEBYTECODE": "1"}


class Mutant(NamedTuple):
    """One change: the lines that it took away and put there; no function: outside of them all."""

    file: str
    function: str
    removed: str
    added: str


class Outcome(NamedTuple):
    """What became of a mutant: ``killed``, ``timeout``, or how it survived."""

    mutant: Mutant
    status: str


def mutant(file: Path, function: str, diff: Iterable[str]) -> Mutant:
    """Return the change that a unified diff shows."""
    lines = [line for line in diff if not line.startswith(("---", "+++"))]
    removed, added = (
        "\n".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    return Mutant(file.as_posix(), function, removed, added)


def in_functions() -> list[Outcome]:
    """Run mutmut, and return what became of its mutants."""
    # What it remembers of an older run would count changes that these tests never met.
    shutil.rmtree(MUTMUT_TREE, ignore_errors=True)
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(JOBS)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        if subprocess.run(command, env=ENVIRONMENT, stdout=log, stderr=log).returncode != 0:
            log.seek(0)
            # Before its end come hundreds of lines of a spinner.
            raise SystemExit("\n".join(log.read().splitlines()[-40:]))
    return list(mutmut_outcomes(MUTMUT_TREE))


def mutmut_outcomes(tree: Path) -> Iterator[Outcome]:
    """Read the results that mutmut has left beside each file."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.stats import status_by_exit_code

    for meta in sorted(tree.rglob("*.meta")):
        path = meta.relative_to(tree).with_suffix("")
        for name, code in json.loads(meta.read_text("utf-8"))["exit_code_by_key"].items():
            status = status_by_exit_code[code]
            diff = "" if status == "killed" else get_diff_for_mutant(name, path=path)
            yield Outcome(mutant(path, function_name(name), diff.split("\n")), status)


def function_name(mutmuts_name: str) -> str:
    """Return the function of a mutant by mutmut's name for it.

    >>> function_name("memslotlib.abi.dirty.x_mark__mutmut_3")
    'mark'
    >>> function_name("memslotlib.abi.slots.xǁAddressSpaceǁ__iter____mutmut_1")
    'AddressSpace.__iter__'
    """
    mangled = mutmuts_name.rpartition("__mutmut_")[0].rpartition(".")[2]
    return mangled[2:].replace("ǁ", ".")


def outside_functions() -> list[Outcome]:
    """Change what mutmut leaves alone, and run the tests on each change."""
    sources = {path: path.read_text("utf-8") for path in sorted(CODE.glob("*.py"))}
    changes = [(path, new) for path, old in sources.items() for new in changed(path, old)]
    trees: SimpleQueue[Path] = SimpleQueue()

    def outcome(change: tuple[Path, str]) -> Outcome:
        path, new = change
        tree = trees.get()
        (tree / path).write_text(new, "utf-8")
        status = run_tests(tree)
        (tree / path).write_text(sources[path], "utf-8")
        trees.put(tree)
        diff = difflib.unified_diff(sources[path].split("\n"), new.split("\n"), n=0)
        return Outcome(mutant(path, "", diff), status)

    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(JOBS) as pool:
        for number in range(JOBS):
            trees.put(copied(Path(name, str(number))))
        if (status := run_tests(Path(name, "0"))) != "survived":
            raise SystemExit(f"the tests fail without any change: {status}")
        return list(pool.map(outcome, changes))


def changed(path: Path, code: str) -> Iterator[str]:
    """Yield the file with each change of mutmut's kinds that mutmut itself does not make in it."""
    import libcst as cst
    import libcst.matchers as m
    from libcst.metadata import MetadataWrapper
    from mutmut.mutation.file_mutation import MutationVisitor
    from mutmut.mutation.mutators import mutation_operators
    from mutmut.mutation.pragma_handling import get_ignored_lines

    rule = m.Call(func=m.Name("Rule"))
    names = m.Assign([m.AssignTarget(m.Name("__slots__") | m.Name("__all__"))])
    # mutmut's own: no decorator, or one that it knows.
    known = m.Decorator(m.Name("classmethod") | m.Name("staticmethod"))
    reached = m.FunctionDef(decorators=[m.ZeroOrMore(known)])
    words: set[object] = set()

    def is_left_out(node: Any) -> bool:
        if m.matches(node, m.FunctionDef()):
            return bool(m.matches(node, reached))
        if m.matches(node, rule):
            words.update(each for each in node.args if not m.matches(each.value, m.Lambda()))
        return node in words or m.matches(node, names) or mutmuts_choice(node)

    wrapper = MetadataWrapper(cst.parse_module(code))
    visitor = MutationVisitor(mutation_operators, get_ignored_lines(str(path), code, wrapper))
    mutmuts_choice = visitor._skip_node_and_children
    visitor._skip_node_and_children = is_left_out
    module = wrapper.visit(visitor)
    for change in visitor.mutations:
        if not m.matches(change.original_node, rule):
            yield module.deep_replace(change.original_node, change.mutated_node).code


def settings() -> dict[str, list[str]]:
    """Return mutmut's configuration: both passes run the same tests on the same files."""
    tool = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["tool"]
    return dict(tool["mutmut"])


def copied(tree: Path) -> Path:
    """Copy what the tests need into an empty folder, and return it."""
    for name in ("pyproject.toml", *settings()["also_copy"]):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if Path(name).is_dir():
            shutil.copytree(name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(name, tree / name)
    return tree


def run_tests(tree: Path) -> str:
    """Return how a tree fared: a failing test has killed the change in it."""
    chosen = settings()
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command += chosen["pytest_add_cli_args"] + chosen["pytest_add_cli_args_test_selection"]
    quiet = subprocess.DEVNULL
    try:
        done = subprocess.run(
            command, cwd=tree, env=ENVIRONMENT, timeout=TIMEOUT_SECONDS, stdout=quiet, stderr=quiet
        )
    except subprocess.TimeoutExpired:
        return "timeout"
    if done.returncode in KILLED_STATUSES:
        return "killed"
    return "survived" if done.returncode == 0 else f"no result (pytest's status {done.returncode})"
