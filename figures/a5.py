"""Appendix A5: every host with records, what it can, and what each experiment found on it."""

from __future__ import annotations

from collections.abc import Sequence

from memslotlib import claims, hosts
from memslotlib.hosts import Recorded
from memslotlib.provenance import ROOT
from memslotlib.views import hosts as views
from memslotlib.views.prose import Said
from memslotlib.views.tables import Table

CLAIMS = ROOT / "book" / "claims"
_UNRECORDED = "NOT RUN: nothing is recorded yet. `make evidence` records it on your host."


def listed(found: Sequence[Recorded] | None = None) -> Table | Said:
    """Return every host with records, and from where they come."""
    known = hosts.hosts() if found is None else found
    return views.listed(known) if known else Said(_UNRECORDED)


def capabilities(found: Sequence[Recorded] | None = None) -> Table | Said:
    """Return what each host's KVM says that it can."""
    known = hosts.hosts() if found is None else found
    if not any(one.capabilities for one in known):
        return Said(_UNRECORDED)
    return views.capabilities(known)


def claimed(found: Sequence[Recorded] | None = None) -> Table | Said:
    """Return what each host showed of each claim that an experiment bears on."""
    known = hosts.hosts() if found is None else found
    return views.claimed(known, claims.load(CLAIMS)) if known else Said(_UNRECORDED)


def verdicts(found: Sequence[Recorded] | None = None) -> Table | Said:
    """Return what each experiment found on each host."""
    known = hosts.hosts() if found is None else found
    return views.verdicts(known) if known else Said(_UNRECORDED)
