"""The simulator of KVM's sequential memslot contract: every rule, one call at a time."""

from .policy import HostPolicy
from .rules import RULES, Change, Rule
from .slots import Slot
from .vm import SimVm

__all__ = ["RULES", "Change", "HostPolicy", "Rule", "SimVm", "Slot"]
