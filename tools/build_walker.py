"""Build ``memslotlib.check._walker``, the native engine: ``python -m tools.build_walker``.

Optional: without it, exploration runs on numpy or in plain Python. Nothing is compiled at any other
time. Exit status 0 when built, 3 when a tool is missing (one line names its packages), 1 when the
compiler refused.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from kvm.build import EXIT_MISSING, missing_tool

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "memslotlib" / "check"
MODULE = "memslotlib.check._walker"
# Nothing that binds it to this processor: what needs more is compiled in beside, and chosen when it
# runs.
FLAGS = ["-std=gnu11", "-O3", "-Wall", "-Wextra"]


def build() -> Path:
    """Compile in a temporary directory, move the finished module into the package, name it."""
    from cffi import FFI

    ffi = FFI()
    ffi.cdef((PACKAGE / "_walker.h").read_text())
    ffi.set_source(
        MODULE,
        '#include <stdint.h>\n#include "_walker.h"\n',
        sources=[str(PACKAGE / "_walker.c")],
        include_dirs=[str(PACKAGE)],
        extra_compile_args=FLAGS,
    )
    with tempfile.TemporaryDirectory() as work:
        built = Path(ffi.compile(tmpdir=work))
        partial = (PACKAGE / built.name).with_suffix(".partial")
        shutil.copy(built, partial)
        return partial.replace(PACKAGE / built.name)


def main() -> int:
    """Build and say where to, or say in one line what is missing."""
    lack = missing_tool()
    if lack:
        print(f"{MODULE} not built: {lack}", file=sys.stderr)
        return EXIT_MISSING
    print(f"built {build().relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
