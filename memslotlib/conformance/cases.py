"""A case: what must exist, one call, and what must come of it, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..abi.policy import HostPolicy
from ..abi.rules import rule
from ..interface import Context, Vm
from ..uapi import Cap, MemFlag
from .differential import Answer, Operation, Player

#: One slot's place and the place of another one; every case uses the same numbers on each VM.
GPA = 0x1000_0000
SIZE = 0x4000
HVA = 0x2000_0000_0000
OTHER_GPA = 0x1010_0000
OTHER_HVA = 0x2000_0010_0000

#: An answer that may depend on the host.
ByPolicy = Callable[[HostPolicy], object]


@dataclass(frozen=True, slots=True)
class Refused:
    """The call fails by this rule, with its errno."""

    rule: str

    def answer(self, policy: HostPolicy) -> Answer:
        """Return what a VM must answer."""
        return Answer(rule(self.rule).errno)


@dataclass(frozen=True, slots=True)
class Gives:
    """The call succeeds with this value, or with what it comes to under the host's policy."""

    value: object = None

    def answer(self, policy: HostPolicy) -> Answer:
        """Return what a VM must answer."""
        return Answer(0, self.value(policy) if callable(self.value) else self.value)


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table: after ``setup``, ``call`` must come to ``expected``, for ``reason``.

    ``about`` names the rules or the behaviour that the case is for; ``address_spaces`` is how many
    the VM must have, 0 where that does not matter.
    """

    name: str
    about: tuple[str, ...]
    setup: tuple[Operation, ...]
    call: Operation
    expected: Refused | Gives
    reason: str
    address_spaces: int = 0

    @property
    def binds(self) -> bool:
        """Whether it needs a VM that binds slots to a guest_memfd."""
        return any(_binds(step) for step in (*self.setup, self.call))

    def suits(self, vm: Vm) -> bool:
        """Whether the VM has what the case needs."""
        # A kernel with one address space does not know the question, and answers 0.
        spaces = max(1, vm.check_extension(Cap.MULTI_ADDRESS_SPACE))
        if self.binds and not vm.check_extension(Cap.GUEST_MEMFD):
            return False
        return self.address_spaces in (0, spaces)


def _binds(step: Operation) -> bool:
    if step.method == "set_user_memory_region2":
        return bool(step.arguments[1] & MemFlag.GUEST_MEMFD)
    return step.method == "create_guest_memfd"


def op(method: str, *arguments: object, context: Context | None = None) -> Operation:
    """Return one call of the Vm interface."""
    return Operation(method, arguments, context)


def region(
    slot: int = 1, flags: int = 0, gpa: int = GPA, size: int = SIZE, hva: int = HVA
) -> Operation:
    """Return a KVM_SET_USER_MEMORY_REGION call."""
    return op("set_user_memory_region", slot, flags, gpa, size, hva)


def delete(slot: int = 1) -> Operation:
    """Return the call that deletes a slot."""
    return region(slot, 0, 0, 0, 0)


def play(case: Case, vm: Vm) -> Answer:
    """Make the case's calls on a VM and return the last one's answer.

    Raises AssertionError when a call of the setup is refused: then the case says nothing.
    """
    player = Player(vm)
    for step in case.setup:
        answer = player.play(step)
        assert answer.errno == 0, f"{case.name}: setup {step} failed with {answer} {answer.rule}"
    return player.play(case.call)
