"""The explorer: every interleaving of a model that is written as plain Python.

Shared variables are declared and bounded; actors are generator functions in which ``yield`` ends an
atomic micro-step; :func:`explore` runs every interleaving and says which properties hold. Nothing
here knows what the models are about.

>>> from memslotlib.check import *
>>> def increment(m, me):
...     m.seen[me] = m.counter
...     yield "load"
...     m.counter = m.seen[me] + 1
...     yield "store"
>>> thread = Symmetric("thread", 2)
>>> model = Model(
...     "increment",
...     {"counter": Int(3), "done": Int(3), "seen": Array(Int(3), thread)},
...     [Actor(increment, per=thread)],
... )
"""

from .errors import CheckError, ModelError
from .explore import explore
from .kinds import Array, Flag, Int, OneOf, Ref, Symmetric
from .model import (
    Actor,
    Model,
    always,
    can_always_reach,
    interval,
    never,
    no_deadlock,
    sometimes,
    step,
)
from .replay import replay
from .result import PropertyResult, Result, first_difference, why
from .sampling import sample
from .space import Bounds
from .trace import Trace
from .walk import Walk

__all__ = [
    "Actor",
    "Array",
    "Bounds",
    "CheckError",
    "Flag",
    "Int",
    "Model",
    "ModelError",
    "OneOf",
    "PropertyResult",
    "Ref",
    "Result",
    "Symmetric",
    "Trace",
    "Walk",
    "always",
    "can_always_reach",
    "explore",
    "first_difference",
    "interval",
    "never",
    "no_deadlock",
    "replay",
    "sample",
    "sometimes",
    "step",
    "why",
]
