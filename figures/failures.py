"""What is left when an update runs out of memory: each API, each allocation that may fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from memslotlib.check import explore
from memslotlib.protocol.apis import APIS, Api
from memslotlib.protocol.failures import FAILING, FailingScene, Failure, failures, model
from memslotlib.protocol.properties import stated
from memslotlib.protocol.world import X86
from memslotlib.verdict import Word
from memslotlib.views.tables import Cell, Table

#: Which change is asked of an API that cannot truncate a slot.
_OTHER = {"move": "failed-move+emulator", "flags": "failed-log+emulator"}
_ASKED = ("I9a", "I9b")


def ways() -> Iterator[tuple[Api, FailingScene, Failure]]:
    """Yield every way to fail, with the scene that it is put to."""
    for api in APIS.values():
        scene = FAILING[_OTHER.get(api.key, "failed-truncate+emulator")]
        if scene.refusal(api):
            continue
        for one in failures(api.key, scene.change, X86):
            yield api, scene, one


def table() -> Table:
    """Explore every way to fail, with two accesses of each vCPU; a row each."""
    rows = [
        (api.title, one.what, *map(_cell, _words(api, scene, one))) for api, scene, one in ways()
    ]
    return Table(("API", "What fails, and what is done about it", *_ASKED, "Else"), rows)


def _words(api: Api, scene: FailingScene, one: Failure) -> Iterator[str]:
    world = replace(scene.one(one, api), accesses_max=2)
    found = explore(model(world), traces=False).verdicts
    names = [stated(identity).name for identity in _ASKED]
    for name in names:
        yield found[name].verdict.word.value
    else_ = [n for n, one in found.items() if one.verdict.word is Word.VIOLATED and n not in names]
    yield ", ".join(f"{n.split()[0]} {Word.VIOLATED.value}" for n in else_)


def _cell(word: str) -> Cell:
    kind = word.split()[-1].lower() if word else ""
    return Cell(word, f"verdict {kind}" if kind else "")
