"""The host's memory as the simulator keeps it: areas of a sparse 64-bit address space."""

from __future__ import annotations

from bisect import bisect_right

from ..errors import MemslotError
from ..uapi import PAGE_SIZE


class HostMemory:
    """Areas of mapped memory by host virtual address; everything else is unmapped.

    An area is zeroed when it is mapped and stays until the whole memory is dropped: guest memory is
    never unmapped under a slot.
    """

    __slots__ = ("_areas", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._areas: list[bytearray] = []

    def view(self, hva: int, size_bytes: int) -> memoryview:
        """Return the writable bytes [hva, hva + size_bytes), mapping the pages that are not yet.

        Raises MemslotError when an older view still holds an area that would have to grow, and
        ValueError for an empty or negative range.

        >>> memory = HostMemory()
        >>> memory.view(0x2000_0000_0000, 2)[:] = b"hi"
        >>> bytes(memory.view(0x2000_0000_0001, 1))
        b'i'
        >>> memory.view(0, 0)
        Traceback (most recent call last):
        ValueError: no memory in [0x0, 0x0)
        """
        end = hva + size_bytes
        if hva < 0 or size_bytes <= 0:
            raise ValueError(f"no memory in [{hva:#x}, {end:#x})")
        i = self._holding(hva, end)
        if i is None:
            i = self._map(hva & -PAGE_SIZE, -(-end // PAGE_SIZE) * PAGE_SIZE)
        start = self._starts[i]
        return memoryview(self._areas[i])[hva - start : end - start]

    def holds(self, hva: int, size_bytes: int) -> bool:
        """Whether one area holds all those bytes."""
        return self._holding(hva, hva + size_bytes) is not None

    def load(self, hva: int, size_bytes: int) -> bytes | None:
        """Return the bytes there, or None where no area holds them all."""
        i = self._holding(hva, hva + size_bytes)
        if i is None:
            return None
        offset = hva - self._starts[i]
        return bytes(self._areas[i][offset : offset + size_bytes])

    def store(self, hva: int, data: bytes) -> bool:
        """Write the bytes there and say so; where no area holds them all, write none."""
        i = self._holding(hva, hva + len(data))
        if i is None:
            return False
        offset = hva - self._starts[i]
        self._areas[i][offset : offset + len(data)] = data
        return True

    def clear(self) -> None:
        """Forget every area; views that are still held keep their bytes."""
        self._starts.clear()
        self._areas.clear()

    def _holding(self, start: int, end: int) -> int | None:
        """Return the index of the area that holds [start, end) whole."""
        i = bisect_right(self._starts, start) - 1
        if i >= 0 and end <= self._starts[i] + len(self._areas[i]):
            return i
        return None

    def _map(self, start: int, end: int) -> int:
        """Map [start, end), joined with every area that it touches; return the area's index."""
        first = bisect_right(self._starts, start)
        if first and self._starts[first - 1] + len(self._areas[first - 1]) >= start:
            first -= 1
        last = bisect_right(self._starts, end)
        parts = [(self._starts[n], self._areas[n]) for n in range(first, last)]
        start = min([start, *(at for at, _ in parts)])
        end = max([end, *(at + len(area) for at, area in parts)])
        for at, area in parts:
            _refuse_if_viewed(at, area)
        joined = bytearray(end - start)
        for at, area in parts:
            joined[at - start : at - start + len(area)] = area
        self._starts[first:last] = [start]
        self._areas[first:last] = [joined]
        return first


def _refuse_if_viewed(start: int, area: bytearray) -> None:
    """Refuse to replace an area of which a view is held: the view would show old bytes."""
    end = start + len(area)
    try:
        area.append(0)  # a bytearray with a view refuses to change its size
        area.pop()
    except BufferError:
        raise MemslotError(
            f"memory [{start:#x}, {end:#x}) cannot grow while a view of it is held: "
            "ask for the whole area first"
        ) from None
