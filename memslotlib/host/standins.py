"""What userspace can do already to take a slot's memory away, or put other memory there.

A *stand-in* is switched off and on again. Off means that the slot's memory is not to be reached, or
not to be written, or that other memory is in its place. Most of them leave the slot as it is and
change what its host address maps; KVM hears of that through its MMU notifier.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum

from ..errors import MemslotError, NotRunError
from ..uapi import Cap, Quirk
from .backend import Region
from .traps import MinorTrap, Trap, WriteTrap
from .vm import KvmVm

#: How far a slot that is moved away goes: nothing else is there.
AWAY_BYTES = 0x1000_0000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_OPEN = mmap.PROT_READ | mmap.PROT_WRITE
_PROT_NONE = 0


class How(Enum):
    """The stand-ins; the value names each in records."""

    #: No stand-in, but what they are for: two ioctls, DELETE and CREATE.
    TODAY = "today"
    #: The same two, and DELETE zaps the slot's own mappings alone.
    QUIRK_OFF = "quirk-off"
    #: MOVE to where the guest does not look, and back.
    MOVE = "move-away"
    PROTECT_NONE = "mprotect-none"
    PROTECT_READ = "mprotect-read"
    UFFD_MINOR = "uffd-minor"
    UFFD_WP = "uffd-wp"
    #: One mmap(MAP_FIXED) over the slot's host address, and another one back.
    MMAP = "mmap"
    #: One mremap(MREMAP_FIXED), likewise.
    MREMAP = "mremap"
    #: The switch is left out: whatever a check finds in the others it has to miss here.
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Place:
    """A slot as it is created, and the host address of other memory of the same size."""

    region: Region
    other_hva: int

    @property
    def hva(self) -> int:
        """Where the slot's own memory is."""
        return self.region[4]

    @property
    def size_bytes(self) -> int:
        """How big the slot is."""
        return self.region[3]


class Standin(ABC):
    """A switch for one slot; it starts on, and is left on when it is closed."""

    #: Whether other memory is in place while it is off.
    exchanges = False
    trap: Trap | None = None

    def __init__(self, vm: KvmVm, place: Place) -> None:
        self._vm, self._place = vm, place

    @abstractmethod
    def off(self) -> None:
        """Switch it off."""

    @abstractmethod
    def on(self) -> None:
        """Switch it on."""

    def close(self) -> None:
        """Let everybody go on, whatever the switch was left at."""
        self.on()


class _Nothing(Standin):
    def off(self) -> None:
        pass

    def on(self) -> None:
        pass


class _Recreated(Standin):
    def off(self) -> None:
        self._vm.set_user_memory_region(self._place.region[0], 0, 0, 0, 0)

    def on(self) -> None:
        self._vm.set_user_memory_region(*self._place.region)


class _RecreatedAlone(_Recreated):
    def __init__(self, vm: KvmVm, place: Place) -> None:
        zap_own(vm)
        super().__init__(vm, place)


class _Moved(Standin):
    def off(self) -> None:
        slot, flags, gpa, size_bytes, hva = self._place.region
        self._vm.set_user_memory_region(slot, flags, gpa + AWAY_BYTES, size_bytes, hva)

    def on(self) -> None:
        self._vm.set_user_memory_region(*self._place.region)


class _Protected(Standin):
    shut = _PROT_NONE

    def off(self) -> None:
        self._protect(self.shut)

    def on(self) -> None:
        self._protect(_OPEN)

    def _protect(self, access: int) -> None:
        if _libc.mprotect(self._place.hva, self._place.size_bytes, access):
            raise MemslotError(f"mprotect: {os.strerror(ctypes.get_errno())}")


class _ReadOnly(_Protected):
    shut = mmap.PROT_READ


class _Trapped(Standin):
    kind: type[Trap] = MinorTrap
    trap: Trap

    def __init__(self, vm: KvmVm, place: Place) -> None:
        super().__init__(vm, place)
        self.trap = self.kind(place.hva, place.size_bytes)

    def off(self) -> None:
        self.trap.shut()

    def on(self) -> None:
        self.trap.open()

    def close(self) -> None:
        self.trap.close()


class _WriteTrapped(_Trapped):
    kind = WriteTrap


class _Remapped(Standin):
    exchanges = True
    by_move = False

    def off(self) -> None:
        self._show(self._place.other_hva)

    def on(self) -> None:
        self._show(self._place.hva)

    def _show(self, source: int) -> None:
        place = self._place
        self._vm.remap(place.hva, place.size_bytes, source, by_move=self.by_move)


class _RemappedByMove(_Remapped):
    by_move = True


_KINDS: dict[How, type[Standin]] = {
    How.TODAY: _Recreated,
    How.QUIRK_OFF: _RecreatedAlone,
    How.MOVE: _Moved,
    How.PROTECT_NONE: _Protected,
    How.PROTECT_READ: _ReadOnly,
    How.UFFD_MINOR: _Trapped,
    How.UFFD_WP: _WriteTrapped,
    How.MMAP: _Remapped,
    How.MREMAP: _RemappedByMove,
    How.NOTHING: _Nothing,
}


def standin(how: How, vm: KvmVm, place: Place) -> Standin:
    """Return the switch for a slot that is created and whose memory has been touched already.

    Raises NotRunError when the host lacks what it needs.
    """
    return _KINDS[how](vm, place)


def zap_own(vm: KvmVm) -> None:
    """Let a slot that goes take only its own translations along; NotRunError where KVM cannot."""
    if not vm.check_extension(Cap.DISABLE_QUIRKS2) & Quirk.SLOT_ZAP_ALL:
        raise NotRunError("KVM_CAP_DISABLE_QUIRKS2: lacks KVM_X86_QUIRK_SLOT_ZAP_ALL")
    vm.enable_cap(Cap.DISABLE_QUIRKS2, Quirk.SLOT_ZAP_ALL)
