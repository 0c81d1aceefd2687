"""The foot of every page: exactly what it was made from, and where."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from .. import __version__
from ..provenance import revision
from . import host


@dataclass(frozen=True)
class Build:
    """One build of the book."""

    commit: str
    dirty: bool
    version: str
    kernel: str
    kvm_module: str
    backend: str
    date: str

    @property
    def revision(self) -> str:
        """The commit and the day, as a citation gives them.

        >>> Build("649b216", True, "0.1.0", "Linux 6.1", "kvm_amd", "sim", "2026-11-23").revision
        '649b216+ (2026-11-23)'
        """
        return f"{self.commit}{'+' if self.dirty else ''} ({self.date})"

    def html(self) -> str:
        """Return the foot as HTML: one line of facts, each named."""
        changed = " with uncommitted changes" if self.dirty else ""
        facts = {
            "commit": f"{self.commit}{changed}",
            "memslotlib": self.version,
            "executed on": f"{self.kernel}, {self.kvm_module}",
            "backend": self.backend,
            "built": self.date,
        }
        items = (f"<span><b>{name}</b> {escape(fact)}</span>" for name, fact in facts.items())
        return f'<p class="memslots-build">{" ".join(items)}</p>'


def this_build(environment: Mapping[str, str] = os.environ) -> Build:
    """Return the build that happens now; SOURCE_DATE_EPOCH, when set, is its moment."""
    commit, dirty = revision()
    epoch = environment.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return Build(
        commit=commit,
        dirty=dirty,
        version=__version__,
        kernel=host.kernel(),
        kvm_module=host.kvm_module(),
        backend=host.backend(),
        date=moment.date().isoformat(),
    )
