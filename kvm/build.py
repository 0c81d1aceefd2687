"""Build ``memslotlib._kvm``, the native half of ``memslotlib.host``: ``python -m kvm.build``.

Optional: without it the host harness speaks through ctypes and fcntl, a few per cent slower.
Nothing is compiled at any other time. Exit status 0 when built, 3 when a tool is missing (one line
names its packages), 1 when the compiler refused.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent / "memslotlib"
MODULE = "memslotlib._kvm"
SOURCES = ("calls.c", "runner.c")
EXIT_MISSING = 3


def missing_tool() -> str:
    """Return one line that names what the build lacks and its packages, or an empty string."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"{compiler}: no C compiler; Debian: gcc libc6-dev, Fedora: gcc glibc-devel"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python.h: no Python headers; Debian: python3-dev, Fedora: python3-devel"
    try:
        import cffi  # noqa: F401
    except ImportError:
        return "cffi: not installed; Debian: python3-cffi, Fedora: python3-cffi, PyPI: cffi"
    return ""


def build() -> Path:
    """Compile in a temporary directory, move the finished module into the package, name it."""
    from cffi import FFI

    ffi = FFI()
    ffi.cdef((HERE / "native.h").read_text())
    ffi.set_source(
        MODULE,
        '#include "uapi.h"\n#include "native.h"\n',
        sources=[str(HERE / name) for name in SOURCES],
        include_dirs=[str(HERE)],
        extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra"],
    )
    with tempfile.TemporaryDirectory() as work:
        built = Path(ffi.compile(tmpdir=work))
        target = PACKAGE / built.name
        partial = target.with_suffix(".partial")
        shutil.copy(built, partial)
        partial.replace(target)
    return target


def main() -> int:
    """Build and say where to, or say in one line what is missing."""
    lack = missing_tool()
    if lack:
        print(f"memslotlib._kvm not built: {lack}", file=sys.stderr)
        return EXIT_MISSING
    print(f"built {build().relative_to(HERE.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
