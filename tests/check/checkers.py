"""SPIN and Rumur, run on a text: what they count, and what they find broken."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

#: A test's state space is small, so compiling takes longer than running.
QUICK = ("-O0", "-DSAFETY", "-DNOREDUCE")
#: How long one call of a tool may take.
LIMIT_S = 600


@dataclass(frozen=True)
class Counted:
    """What a checker counted; ``broken`` has what it said of each error, once."""

    states: int
    transitions: int
    errors: int
    broken: frozenset[str]
    seconds: float = 0.0


def called(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command in ``folder`` and return what it says; an error with that when it fails."""
    run = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    if run.returncode:
        raise RuntimeError(f"{command[0]} gave {run.returncode}:\n{run.stdout}")
    return run.stdout


def spin_compiled(
    promela: str, folder: Path, *, defines: Sequence[str] = (), options: Sequence[str] = QUICK
) -> Path:
    """Return the verifier that SPIN makes of a text, compiled with ``options``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pml").write_text(promela, "utf-8")
    called(["spin", "-o2", *(f"-D{one}" for one in defines), "-a", "model.pml"], folder)
    called(["gcc", "-w", *options, "-o", "pan", "pan.c"], folder)
    return folder / "pan"


def spin_counted(pan: Path, *arguments: str) -> Counted:
    """Run a verifier to the end; ``arguments`` say how much it may take."""
    began = perf_counter()
    said = called([pan, *(arguments or ("-m1000000", "-c0"))], pan.parent)
    took_s = perf_counter() - began
    if "error: max search depth too small" in said or "out of memory" in said:
        raise RuntimeError(f"SPIN did not search everything:\n{said}")
    return Counted(
        _number(r"(\d+) states, stored", said),
        _number(r"(\d+) transitions", said),
        _number(r"errors: (\d+)", said),
        frozenset(re.findall(r"^pan:\d+: (.*) \(at depth", said, re.M)),
        took_s,
    )


def spin(promela: str, folder: Path, *defines: str) -> Counted:
    """Return what SPIN counts without reductions, every error included."""
    return spin_counted(spin_compiled(promela, folder, defines=defines))


def rumur(
    murphi: str,
    folder: Path,
    *,
    constants: Mapping[str, int] | None = None,
    symmetry: bool = False,
    optimize: str = "-O0",
) -> Counted:
    """Return what Rumur counts, with some of the text's constants replaced."""
    for name, value in (constants or {}).items():
        murphi, count = re.subn(rf"(?m)^((?:const)? *{name}: )\d+;", rf"\g<1>{value};", murphi)
        if count != 1:
            raise ValueError(f"{count} constants are called {name}")
    (folder / "model.m").write_text(murphi, "utf-8")
    options = {
        "deadlock-detection": "off",
        "symmetry-reduction": "heuristic" if symmetry else "off",
        "counterexample-trace": "off",
        "color": "off",
        "max-errors": str(1 << 30),
        "threads": "1",
        "output": "verifier.c",
    }
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    called(["rumur", *flags, "model.m"], folder)
    called(["gcc", "-w", optimize, "-mcx16", "-o", "verifier", "verifier.c", "-lpthread"], folder)
    run = subprocess.run(
        [folder / "verifier"], capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
    said = run.stdout
    if "State Space Explored" not in said:
        raise RuntimeError(f"Rumur gave {run.returncode}:\n{said}{run.stderr}")
    errors = re.search(r"(\d+) error\(s\) found", said)
    failed = re.findall(r"^(?:\t| *)Assertion failed: [^ ]+ (.*)$", said, re.M)
    failed += re.findall(r'invariant "(.*)" failed', said)
    failed += re.findall(r'cover "(.*)" not hit', said)
    return Counted(
        _number(r"(\d+) states, \d+ rules fired in", said),
        _number(r"\d+ states, (\d+) rules fired in", said),
        int(errors[1]) if errors else 0,
        frozenset(failed),
    )


def _number(pattern: str, said: str) -> int:
    found = re.findall(pattern, said)
    if not found:
        raise RuntimeError(f"no {pattern!r} in:\n{said}")
    return int(found[-1])
