"""What a rule is, and how a request is held against a table of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import KvmError, errno_name
from .slots import Slot
from .state import VmState

#: Whether a request breaks a rule, given the VM and the slot that the request names, if it exists.
Test = Callable[[Any, VmState, Slot | None], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason to refuse a call.

    ``calls`` are the ioctls that ask it, ``when`` the requests among them that are asked,
    ``condition`` what breaks it, in words, and ``broken`` the same as a test. A rule without a test
    is one that no call of this library can break; ``source_only`` says why no host can confirm it.
    """

    id: str
    calls: tuple[str, ...]
    when: str
    errno: int
    condition: str
    source: str
    broken: Test | None
    source_only: str = ""

    def __post_init__(self) -> None:
        assert (self.broken is None) == bool(self.source_only), self.id

    @property
    def errno_name(self) -> str:
        """The errno as tables print it."""
        return errno_name(self.errno)


Asked = tuple[tuple[Test, Rule], ...]


def asked(table: tuple[Rule, ...], call: str, when: str) -> Asked:
    """Return the tests of a table that a call asks at one point, in order, with their rules."""
    return tuple(
        (rule.broken, rule)
        for rule in table
        if call in rule.calls and rule.when == when and rule.broken is not None
    )


def first_broken(rules: Asked, request: object, state: VmState, old: Slot | None) -> Rule | None:
    """Return the first rule that the request breaks: it decides the errno."""
    for broken, rule in rules:
        if broken(request, state, old):
            return rule
    return None


def refusal(call: str, rule: Rule, fields: dict[str, int]) -> KvmError:
    """Return the error that names the ioctl, every field and the rule."""
    return KvmError(call, rule.errno, fields, rule.id)
