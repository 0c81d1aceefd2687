"""What the MMU maps for native guests: which access needs a fault, and so can be marked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

#: An address space and a guest frame number in it.
Place = tuple[int, int]

#: Frames of one large page of the guest, 2 MiB.
_REGION_SHIFT = 9


class Mmu:
    """The pages that native guests reach without a fault.

    ``mapped`` says of each whether a store reaches it too. With two-dimensional paging that is all.

    Shadow paging maps a large page of the guest through one of two tables: one for loads, while the
    guest's own entry is not dirty (as before each access of this library's guest), and one for
    stores. ``mapped`` is then the latter, ``loaded`` what the former maps, and ``loading`` has the
    large pages that go through it at present. So a load that faults makes the next store fault, and
    be marked, though its page was writable. Not modelled: it maps a page's neighbours ahead, where
    no write to them is tracked and the host has their memory at hand.

    Source: Linux 6.18, arch/x86/kvm/mmu/paging_tmpl.h FNAME(fetch)(), protect_clean_gpte;
    mmu.c validate_direct_spte(); confirmed on kvm_pvm.

    >>> mmu = Mmu(shadow=True)
    >>> mmu.map((0, 5), writable=True)
    >>> mmu.serves((0, 5), is_write=True), mmu.serves((0, 6), is_write=False)
    (True, False)
    >>> mmu.map((0, 6), writable=False)
    >>> mmu.serves((0, 5), is_write=True)
    False
    """

    __slots__ = ("loaded", "loading", "mapped", "shadow")

    def __init__(self, *, shadow: bool) -> None:
        self.shadow = shadow
        self.mapped: dict[Place, bool] = {}
        self.loaded: set[Place] = set()
        self.loading: set[Place] = set()

    def places(self) -> Iterator[Place]:
        """Every page that is mapped, once."""
        yield from self.mapped
        yield from self.loaded - self.mapped.keys()

    def serves(self, place: Place, *, is_write: bool) -> bool:
        """Whether an access there needs no fault."""
        if _region(place) in self.loading:
            return not is_write and place in self.loaded
        writable = self.mapped.get(place)
        return writable is not None and (writable or not is_write)

    def map(self, place: Place, *, writable: bool) -> None:
        """Map a page, as the fault of an access there does."""
        if self.shadow and not writable:
            self.loaded.add(place)
            self.loading.add(_region(place))
        else:
            self.mapped[place] = writable
            self.loading.discard(_region(place))

    def protect(self, places: Iterable[Place]) -> None:
        """Make stores fault on those pages that are mapped."""
        for place in self.mapped.keys() & set(places):
            self.mapped[place] = False

    def zap(self, places: Iterable[Place]) -> None:
        """Drop those pages."""
        for place in tuple(places):
            self.mapped.pop(place, None)
            self.loaded.discard(place)

    def zap_all(self) -> None:
        """Drop every page, and the tables."""
        self.mapped.clear()
        self.loaded.clear()
        self.loading.clear()


def _region(place: Place) -> Place:
    as_id, gfn = place
    return as_id, gfn >> _REGION_SHIFT
