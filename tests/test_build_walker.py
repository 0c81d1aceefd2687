"""The build script of the explorer's native engine, ``tools/build_walker.py``."""

import subprocess
import sys
from pathlib import Path

import build_walker
import pytest

from kvm.build import EXIT_MISSING

ROOT = Path(__file__).resolve().parents[1]


def test_without_a_compiler_one_line_names_its_packages():
    ended = subprocess.run(
        [sys.executable, "-m", "tools.build_walker"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "CC": "no-such-compiler"},
    )

    assert ended.returncode == EXIT_MISSING
    assert ended.stdout == ""
    assert ended.stderr == (
        "memslotlib.check._walker not built: no-such-compiler: no C compiler;"
        " Debian: gcc libc6-dev, Fedora: gcc glibc-devel\n"
    )


@pytest.mark.needs_tool("gcc")
@pytest.mark.slow
def test_what_is_built_answers_and_is_alone_in_its_folder(monkeypatch, tmp_path):
    for source in build_walker.PACKAGE.glob("_walker*.[ch]"):
        (tmp_path / source.name).write_text(source.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(build_walker, "PACKAGE", tmp_path)

    module = build_walker.build()

    assert [path for path in tmp_path.iterdir() if path.suffix not in (".c", ".h")] == [module]
    ask = (
        "import importlib.util as u, sys;"
        "s = u.spec_from_file_location('memslotlib.check._walker', sys.argv[1]);"
        "m = u.module_from_spec(s); s.loader.exec_module(m);"
        "print(m.lib.walker_can_be_fast() in (0, 1))"
    )
    ended = subprocess.run([sys.executable, "-c", ask, module], capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("True\n", "")
