"""Sentences whose numbers come from results: written once, filled in when the page is made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """A paragraph of Markdown with its numbers in place.

    >>> say("{hits:,} of {trials:,} updates", hits=300, trials=1300)
    Said(text='300 of 1,300 updates')
    >>> say("{hits} of {trials} updates", hits=300)
    Traceback (most recent call last):
    KeyError: 'trials'
    """

    text: str

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/markdown": self.text, "text/plain": self.text}


def say(template: str, **values: object) -> Said:
    """Return the template with its values filled in; KeyError for one that is missing."""
    return Said(template.format(**values))
