"""Appendix A4: the explorer's public names, from their docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cached_property

from memslotlib import check
from memslotlib.views.prose import Said

#: Every public name, under the question that it answers.
GROUPS = {
    "model": ("Model", "Actor", "Symmetric", "step"),
    "kinds": ("Int", "Flag", "OneOf", "Ref", "Array"),
    "properties": (
        "always",
        "never",
        "sometimes",
        "no_deadlock",
        "can_always_reach",
        "interval",
    ),
    "exploring": ("explore", "Bounds", "sample", "Result", "PropertyResult"),
    "traces": ("Trace", "replay", "Walk", "why", "first_difference"),
    "errors": ("ModelError", "CheckError"),
}


def reference(group: str) -> Said:
    """Return the names of a group with their signatures and docstrings."""
    return Said("\n\n".join(part for name in GROUPS[group] for part in _entry(name)))


def shared() -> Said:
    """Return what actors can call on the shared state."""
    from memslotlib.check.shared import Shared

    names = ("choose", "wait", "fail", "reach")
    parts = [part for name in names for part in _documented(f"m.{name}", getattr(Shared, name))]
    return Said("\n\n".join(parts))


def _entry(name: str) -> Iterator[str]:
    thing = getattr(check, name)
    yield from _documented(name, thing)
    if inspect.isclass(thing):
        members = [
            f"- `{member}`: {_first_line(value)}"
            for member, value in vars(thing).items()
            if not member.startswith("_") and _is_documented(value)
        ]
        if members:
            yield "\n".join(members)


def _documented(name: str, thing: object) -> Iterator[str]:
    yield f"**`{name}{_signature(thing)}`**"
    yield markdown(inspect.getdoc(thing) or "")


def _signature(thing: object) -> str:
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return ""
    assert callable(thing)
    parameters = inspect.signature(thing).parameters.values()
    shown = [one.replace(annotation=one.empty) for one in parameters if one.name != "self"]
    return str(inspect.Signature(shown))


def _is_documented(value: object) -> bool:
    is_member = inspect.isfunction(value) or isinstance(value, property | cached_property)
    return is_member and bool(getattr(value, "__doc__", None))


def _first_line(value: object) -> str:
    return markdown((getattr(value, "__doc__", "") or "").strip().partition("\n")[0])


def markdown(text: str) -> str:
    """Return a docstring as Markdown: its roles as code, its doctests and examples as blocks.

    >>> markdown("See :class:`.Int` and ``m.x``.")
    'See `Int` and `m.x`.'
    """
    text = re.sub(r":\w+:`[~.]*(?:\w+\.)*(\w+)`", r"`\1`", text)
    text = text.replace("``", "`")
    blocks = []
    for block in text.split("\n\n"):
        is_code = block.startswith((">>>", "    "))
        blocks.append(f"```python\n{inspect.cleandoc(block)}\n```" if is_code else block)
    return "\n\n".join(blocks).replace("::\n", ":\n")
