"""Every way to change memslots that was proposed or exists, one file each, and their registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..program import Program
from ..slots import Change
from ..world import Policy
from . import (
    attributes,
    fetch_remove_add,
    flags,
    kvm_userfault,
    move,
    pause,
    primitives,
    remap,
    rfc_list,
    today,
    user_exit,
    userfaultfd,
    wholesale,
)

Huge = tuple[int, int] | None


def _anything(change: Change) -> str:
    return ""


@dataclass(frozen=True)
class Api:
    """One way to make a change: its key in claims, what it is called, and its program.

    ``refusal`` says why it cannot make a change, in the kernel's words where it has any.
    ``keeps_slots``: what changes is behind the slots' hva, which stays, for KVM and for others.
    """

    key: str
    title: str
    build: Callable[[Change, Policy, Huge], Program]
    refusal: Callable[[Change], str] = _anything
    is_real: bool = False
    keeps_slots: bool = False


def _plain(update: Callable[[Change, Policy], Program]) -> Callable[..., Program]:
    def build(change: Change, policy: Policy, huge: Huge) -> Program:
        return update(change, policy)

    return build


_ALL = (
    Api("today", "delete and create", _plain(today.update), is_real=True),
    Api("move", "MOVE", _plain(move.update), move.refusal, is_real=True),
    Api("flags", "flags only", _plain(flags.update), flags.refusal, is_real=True),
    Api("pause", "pause all, as QEMU's inhibit", _plain(pause.update), is_real=True),
    Api("rfc-posted", "the RFC's list, as posted", _plain(rfc_list.as_posted)),
    Api("rfc-intended", "the RFC's list, as intended", _plain(rfc_list.as_intended)),
    Api("wholesale-swap", "wholesale, swap first", _plain(wholesale.swap_first)),
    Api("wholesale-block", "wholesale, block first", _plain(wholesale.block_first)),
    Api("fetch-remove-add", "fetch, remove, add", _plain(fetch_remove_add.update)),
    Api("primitives", "grow, truncate, split, merge", primitives.update, primitives.refusal),
    Api("user-exit", "KVM_MEM_DISABLED / USER_EXIT", _plain(user_exit.update)),
    Api("attributes", "access denied per frame", _plain(attributes.update)),
    Api("remap", "mmap over the hva", _plain(remap.update), remap.refusal, True, True),
    Api(
        "userfaultfd",
        "userfaultfd, then mmap",
        _plain(userfaultfd.update),
        remap.refusal,
        True,
        True,
    ),
    Api(
        "kvm-userfault",
        "KVM Userfault, then mmap",
        _plain(kvm_userfault.update),
        remap.refusal,
        False,
        True,
    ),
)

#: By the key that claims use.
APIS: Mapping[str, Api] = {api.key: api for api in _ALL}
