"""The explorer relies on documented behaviour alone, so every CPython gives the same results."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")

#: Explores, and says what has to be the same.
SCRIPT = """\
import json
from memslotlib.check import explore
from memslotlib.check.examples import increment, peterson, two_phase_commit
from benchmarks import memslot_like
from tests.check import constructs

found = {}
models = [increment(), increment(3), two_phase_commit(3), peterson(), peterson(forgets_turn=True)]
models += [memslot_like.model(pages=1, accesses=1), constructs.model()]
for model in models:
    for symmetry in (True, False):
        result = explore(model, engine="python", symmetry=symmetry)
        found[f"{model.name} {model.digest} {symmetry}"] = {
            "states": result.states,
            "generated": result.generated,
            "levels": result.levels,
            "verdicts": {n: one.verdict.text for n, one in result.verdicts.items()},
            "replays": {name: trace.replay for name, trace in result.traces.items()},
            "traces": {name: str(trace) for name, trace in result.traces.items()},
            "uncovered": [(line.number, line.text) for _, line in result.uncovered],
            "footprints": [(one.text, one.reads, one.writes) for one in result.footprints],
        }
print(json.dumps(found))
"""

#: Blocks what only other rooms need, and imports.
IMPORTS = """\
import sys
for name in ("sortedcontainers", "numpy", "cffi", "altair", "ipywidgets", "yaml"):
    sys.modules[name] = None
import memslotlib.check
print(memslotlib.check.explore.__name__)
"""


def version_of(python: Path) -> tuple[int, ...]:
    """Return the version of a CPython of at least 3.11; nothing for anything else."""
    ask = "import sys; print(sys.implementation.name, *sys.version_info[:3])"
    try:
        said = subprocess.run([python, "-I", "-c", ask], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.fullmatch(r"cpython (\d+) (\d+) (\d+)\s*", said.stdout)
    found = tuple(map(int, match.groups())) if match else ()
    return found if found >= (3, 11) else ()


@functools.cache
def others() -> dict[str, Path]:
    """Return one interpreter for each other CPython at hand, by its version."""
    candidates = [Path(found) for v in VERSIONS if (found := shutil.which(f"python{v}"))]
    candidates += sorted(Path.home().glob(".pyenv/versions/*/bin/python3"))
    found: dict[str, Path] = {}
    for python in candidates:
        version = version_of(python)
        if version and version != sys.version_info[:3]:
            found.setdefault(".".join(map(str, version)), python)
    return found


def ran(python: str | Path, script: str, tmp_path: Path) -> str:
    """Return what a script prints; nothing of this process's environment but the library's."""
    run = subprocess.run(
        [python, "-W", "error", "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "random"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(params=VERSIONS)
def other(request: pytest.FixtureRequest) -> Path:
    """Return an interpreter of this version, another than the one that runs."""
    found = [path for version, path in others().items() if version.startswith(request.param + ".")]
    if not found:
        there = ", ".join(others()) or "none"
        pytest.skip(f"needs another CPython {request.param} (others at hand: {there})")
    return found[-1]


def test_every_python_counts_alike(other, tmp_path):
    here = json.loads(ran(sys.executable, SCRIPT, tmp_path))

    assert len(here) == 14
    assert json.loads(ran(other, SCRIPT, tmp_path)) == here


def test_every_python_imports_the_explorer_without_any_package(other, tmp_path):
    assert ran(other, IMPORTS, tmp_path) == "explore\n"


def test_this_python_imports_the_explorer_without_any_package(tmp_path):
    assert ran(sys.executable, IMPORTS, tmp_path) == "explore\n"


def test_what_is_no_cpython_of_at_least_3_11_is_passed_over(tmp_path):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho cpython 3 10 9\n")
    old.chmod(0o755)

    assert version_of(old) == ()
    assert version_of(tmp_path / "missing") == ()
    assert version_of(Path(sys.executable)) == sys.version_info[:3]
