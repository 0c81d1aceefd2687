"""What is missing is named with its packages, before anything runs; only Python is fatal."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PREFLIGHT = Path(__file__).resolve().parents[1] / "tools" / "preflight"
#: What the script itself calls.
UTILITIES = ("sh", "stat")

OLD_PYTHON = '#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.2\nexit 1\n'
#: Recent enough, but one of its modules cannot be imported.
NO_VENV = f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n'


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of programs that is the whole PATH."""
    for name in UTILITIES:
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    return tmp_path


def add(machine: Path, name: str, script: str) -> None:
    """Install a program."""
    (machine / name).write_text(script)
    (machine / name).chmod(0o755)


def add_python(machine: Path, name: str = "python3") -> None:
    """Install the Python that runs this test."""
    add(machine, name, f'#!/bin/sh\nexec {sys.executable} "$@"\n')


def preflight(
    machine: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the script on that machine."""
    return subprocess.run(
        [str(PREFLIGHT), *arguments],
        env={"PATH": str(machine), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_python_is_fatal_and_names_the_packages(machine: Path) -> None:
    done = preflight(machine)

    assert done.returncode == 1
    assert "missing: Python >= 3.11 (found none;" in done.stderr
    assert "Debian, Ubuntu: apt install python3 python3-venv" in done.stderr
    assert "Fedora:         dnf install python3" in done.stderr


def test_an_old_python_is_named_with_its_version(machine: Path) -> None:
    add(machine, "python3", OLD_PYTHON)
    done = preflight(machine)

    assert done.returncode == 1
    assert "missing: Python >= 3.11 (found Python 3.9.2;" in done.stderr


def test_a_newer_python_beside_an_old_one_is_taken(machine: Path) -> None:
    add(machine, "python3", OLD_PYTHON)
    add_python(machine, "python3.12")

    assert preflight(machine, "python").stdout == f"{machine}/python3.12\n"


def test_the_python_that_the_user_names_comes_first(machine: Path) -> None:
    add_python(machine)
    add_python(machine, "mine")

    assert preflight(machine, "python", PYTHON="mine").stdout == f"{machine}/mine\n"


def test_a_python_without_ensurepip_is_fatal_and_names_the_packages(machine: Path) -> None:
    add(machine, "python3", NO_VENV)
    done = preflight(machine)

    assert done.returncode == 1
    assert f"missing: the venv and ensurepip modules of {machine}/python3" in done.stderr
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"apt install python3-venv (or python{version}-venv)" in done.stderr


def test_no_compiler_is_a_note(machine: Path) -> None:
    add_python(machine)
    done = preflight(machine)

    assert done.returncode == 0
    assert "no C compiler; native module: NOT built" in done.stdout
    assert "apt install gcc libc6-dev python3-dev" in done.stdout
    assert "dnf install gcc python3-devel" in done.stdout


@pytest.mark.parametrize(("compiler", "found"), [("cc -m64", True), ("nope cc", False)])
def test_the_compiler_that_the_user_names_is_the_one(
    machine: Path, compiler: str, found: bool
) -> None:
    add_python(machine)
    add(machine, "cc", "#!/bin/sh\n")

    assert ("no C compiler" not in preflight(machine, CC=compiler).stdout) is found


def test_with_a_compiler_and_node_there_is_no_note_of_them(machine: Path) -> None:
    add_python(machine)
    for name in ("cc", "node", "npm"):
        add(machine, name, "#!/bin/sh\n")
    done = preflight(machine)

    assert done.returncode == 0
    assert "C compiler" not in done.stdout
    assert "Node" not in done.stdout


def test_node_that_is_not_there_comes_from_elsewhere(machine: Path) -> None:
    add_python(machine)

    assert (
        "no Node.js with npm on this system: it is installed from PyPI" in preflight(machine).stdout
    )


def test_no_kvm_is_a_note(machine: Path) -> None:
    add_python(machine)
    absent = machine / "kvm"
    done = preflight(machine, "report", str(absent))

    assert done.returncode == 0
    assert f"{absent}: no such file; what needs the kernel will say NOT RUN" in done.stdout


def test_a_misspelt_argument_is_refused(machine: Path) -> None:
    done = preflight(machine, "nonsense")

    assert (done.returncode, done.stderr[:6]) == (2, "usage:")
