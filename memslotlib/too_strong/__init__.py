"""Models that exclude too much, each refuted by what a kernel showed.

Each takes one behaviour out of the model, for a reason that sounds well enough. It then excludes
what the unchanged model allows, and what a host was seen to do: so the behaviour is in the model
because it has to be, and a host has the power to tell. That is the opposite of
:mod:`memslotlib.agreement`, where a host must *not* contradict the model.
"""

from .entry import Entry, NotRefutedError, Refuted, Sighting, assert_refuted, refuted
from .registry import ENTRIES

__all__ = [
    "ENTRIES",
    "Entry",
    "NotRefutedError",
    "Refuted",
    "Sighting",
    "assert_refuted",
    "refuted",
]
