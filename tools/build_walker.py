"""Build ``memslotlib.check._walker``, the native engine: ``python -m tools.build_walker``.

Optional: without it, exploration runs on numpy or in plain Python. Nothing is compiled at any other
time. Exit status 0 when built, 3 when a tool is missing (one line names its packages), 1 when the
compiler refused.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kvm.build import EXIT_MISSING, compiled, missing_tool

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "memslotlib" / "check"
MODULE = "memslotlib.check._walker"
# Nothing that binds it to this processor: what needs more is compiled in beside, and chosen when it
# runs.
FLAGS = ["-std=gnu11", "-O3", "-Wall", "-Wextra"]


def build() -> Path:
    """Compile in a temporary directory, move the finished module into the package, name it."""
    prelude = '#include <stdint.h>\n#include "_walker.h"\n'
    header, source = PACKAGE / "_walker.h", PACKAGE / "_walker.c"
    return compiled(MODULE, header, prelude, [source], FLAGS, PACKAGE)


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
