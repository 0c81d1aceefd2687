"""T0.4: the bug on a real VMM, as an earlier study reports it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from memslotlib.evidence import DATA
from memslotlib.views.tables import Table

STUDY = DATA / "qemu-bug-study.toml"


def table(study: Path = STUDY) -> Table:
    """Return one row a case: trials that ended with the VM stopped, of all trials."""
    cases = tomllib.loads(study.read_text(encoding="utf-8"))["case"]
    rows = [
        (case["host"], case["vmm"], case["other_vcpu"], f"{case['failed']} of {case['trials']}")
        for case in cases
    ]
    columns = ("Host", "VMM", "The other vCPU", "VM stopped")
    return Table(columns, rows)
