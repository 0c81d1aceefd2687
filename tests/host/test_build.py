"""The native module's build script, ``kvm/build.py``."""

import subprocess
import sys
from pathlib import Path

import pytest

from kvm import build

ROOT = Path(__file__).resolve().parents[2]


def run(**environment):
    return subprocess.run(
        [sys.executable, "-m", "kvm.build"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"} | environment,
    )


def test_without_a_compiler_one_line_names_its_packages():
    ended = run(CC="no-such-compiler -O2")

    assert ended.returncode == build.EXIT_MISSING == 3
    assert ended.stdout == ""
    assert ended.stderr == (
        "memslotlib._kvm not built: no-such-compiler: no C compiler;"
        " Debian: gcc libc6-dev, Fedora: gcc glibc-devel\n"
    )


def test_without_python_s_headers_one_line_names_their_packages(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", sys.executable)  # Any program that is there, with or without gcc.
    monkeypatch.setattr(build.sysconfig, "get_path", lambda name: str(tmp_path))

    assert "Debian: python3-dev, Fedora: python3-devel" in build.missing_tool()


@pytest.mark.needs_tool("gcc")
@pytest.mark.slow
def test_what_is_built_answers(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "PACKAGE", tmp_path)

    module = build.build()

    assert module.parent == tmp_path
    assert list(tmp_path.iterdir()) == [module]
    ask = (
        "import importlib.util as u, sys;"
        "s = u.spec_from_file_location('memslotlib._kvm', sys.argv[1]);"
        "m = u.module_from_spec(s); s.loader.exec_module(m);"
        "print(m.lib.ms_ioctl_value(-1, 0, 0))"
    )
    ended = subprocess.run([sys.executable, "-c", ask, module], capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("-9\n", "")


@pytest.mark.needs_tool("gcc")
def test_a_compiler_that_refuses_leaves_no_module(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "PACKAGE", tmp_path)
    monkeypatch.setattr(build, "SOURCES", ("no-such-file.c",))

    with pytest.raises(Exception, match="gcc"):
        build.build()

    assert list(tmp_path.iterdir()) == []
