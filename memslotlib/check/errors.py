"""One error for everything that is wrong with a model: where, in which actor, in which state."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ..errors import MemslotError


class CheckError(MemslotError):
    """A request to the explorer that cannot be met; the text says why."""


class ModelError(CheckError):
    """A model does what no model may: the text names the file, the line, the actor and the state.

    A write out of a variable's range, an undeclared name, a loop whose iterator cannot be stored,
    an actor that does not repeat itself, an exception inside an actor. The exploration that met it
    gives no count: there is no result that could be wrong.

    Attributes: ``where`` (``file:line``, empty when no line is to blame), ``actor`` (its name, or
    empty) and ``state`` (the state in which its step began, or empty), all text.

    >>> raise ModelError("x = 5 is not in range(0, 4)", where="m.py:7", actor="vcpu0", state="x=3")
    Traceback (most recent call last):
    memslotlib.check.errors.ModelError: m.py:7: vcpu0: x = 5 is not in range(0, 4); in state x=3
    """

    def __init__(self, what: str, *, where: str = "", actor: str = "", state: str = "") -> None:
        self.what, self.where, self.actor, self.state = what, where, actor, state
        words = [part for part in (where, actor, what) if part]
        super().__init__(": ".join(words) + (f"; in state {state}" if state else ""))

    def placed(self, *, where: str = "", actor: str = "", state: str = "") -> ModelError:
        """Return the same error with the places filled in that it does not name yet."""
        return type(self)(
            self.what,
            where=self.where or where,
            actor=self.actor or actor,
            state=self.state or state,
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the declared name nearest to ``name``, or all there are.

    >>> nearest("slots", ["slot", "spte"])
    "did you mean 'slot'?"
    >>> nearest("zzz", ["slot", "spte"])
    'declared are slot, spte'
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"declared are {', '.join(known)}" if known else "none is declared"
