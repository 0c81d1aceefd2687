"""Build ``memslotlib.check._walker``, the native engine: ``python memslotlib/check/_build.py``.

Optional: without it exploration runs on numpy, or in plain Python. Nothing is compiled at any
other time. Exit status 0 when built, 3 when a tool is missing (one line names its packages), 1 when
the compiler refused.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULE = "memslotlib.check._walker"
#: No -march: the module may be copied to another machine.
FLAGS = ["-std=gnu11", "-O3", "-fno-strict-aliasing", "-Wall", "-Wextra"]


def build() -> Path:
    """Compile in a temporary directory, move the finished module here, name it."""
    from cffi import FFI

    ffi = FFI()
    ffi.cdef((HERE / "_walker.h").read_text())
    ffi.set_source(
        MODULE,
        '#include <stdint.h>\n#include "_walker.h"\n',
        sources=[str(HERE / "_walker.c")],
        depends=[str(HERE / "_walker_core.h")],
        include_dirs=[str(HERE)],
        extra_compile_args=FLAGS,
    )
    with tempfile.TemporaryDirectory() as work:
        built = Path(ffi.compile(tmpdir=work))
        target = HERE / built.name
        partial = target.with_suffix(".partial")
        shutil.copy(built, partial)
        partial.replace(target)
    return target


if __name__ == "__main__":
    print(f"built {build().name}", file=sys.stderr)
