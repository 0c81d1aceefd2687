"""The simulator of KVM's sequential memslot contract: every rule, one call at a time."""

from .policy import HostPolicy
from .region import Change
from .rule import Rule
from .rules import RULES
from .slots import Slot
from .vm import SimVm

__all__ = ["RULES", "Change", "HostPolicy", "Rule", "SimVm", "Slot"]
