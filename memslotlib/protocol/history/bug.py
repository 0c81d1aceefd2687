"""A bug of the past as two models: the protocol before the fix, and the one after it.

What is called *window* is the event without which neither result means anything: the fix has to be
seen to withstand the very thing that broke the protocol before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ...check import Actor, Array, Model
from ...check.kinds import Kind
from ...check.model import Property


@dataclass(frozen=True)
class Bug:
    """One bug: where it was fixed, how it came about, which properties it breaks, and the models.

    ``source`` is a public address or a message-id. ``breaks`` names exactly the properties that
    ``before`` violates; all of ``after``'s hold. ``window`` is a ``sometimes`` of both. ``beyond``
    are further models by name: other orders that were tried or would be obvious.
    """

    commit: str
    title: str
    version: str
    source: str
    mechanism: str
    breaks: tuple[str, ...]
    window: str
    before: Callable[[], Model]
    after: Callable[[], Model]
    beyond: Mapping[str, Callable[[], Model]] = field(default_factory=dict)


def extended(
    model: Model,
    *,
    variables: Mapping[str, Kind | Array] | None = None,
    actors: Iterable[Actor] = (),
    properties: Iterable[Property] = (),
) -> Model:
    """Return a model with more variables, actors and properties."""
    return replace(
        model,
        variables={**model.variables, **(variables or {})},
        actors=[*model.actors, *actors],
        properties=[*model.properties, *properties],
    )
