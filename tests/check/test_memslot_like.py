"""The benchmarks' model, and the same by hand in two other languages: equal counts."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from check.checkers import rumur, spin

from benchmarks.memslot_like import model
from memslotlib.check import Result, explore

ORACLES = Path(__file__).parent / "oracles"
PROMELA = (ORACLES / "memslot_like.pml").read_text("utf-8")
MURPHI = (ORACLES / "memslot_like.m").read_text("utf-8")

#: vCPUs, pages, accesses; then atomic, sync, flush.
Parameters = tuple[int, int, int, bool, bool, bool]
VARIANTS: list[Parameters] = [
    (1, 3, 2, *switches) for switches in itertools.product((False, True), repeat=3)
]
VARIANTS.append((2, 2, 1, False, True, True))


def explored(parameters: Parameters, *, symmetry: bool = False) -> Result:
    vcpus, pages, accesses, atomic, sync, flush = parameters
    made = model(vcpus, pages, accesses, atomic=atomic, sync=sync, flush=flush)
    return explore(made, symmetry=symmetry, traces=False)


def constants_of(parameters: Parameters) -> dict[str, int]:
    names = ("VCPUS", "PAGES", "ACCESSES", "ATOMIC", "SYNC", "FLUSH")
    return dict(zip(names, map(int, parameters), strict=True))


@pytest.mark.needs_tool("spin")
@pytest.mark.needs_tool("gcc")
@pytest.mark.parametrize("parameters", VARIANTS)
def test_spin_counts_the_hand_written_model_as_the_explorer_does(
    parameters: Parameters, tmp_path: Path
) -> None:
    result = explored(parameters)
    vcpus, pages, accesses, atomic, sync, flush = parameters
    defines = [f"VCPUS={vcpus}", f"PAGES={pages}", f"ACCESSES={accesses}"]
    defines += ["ATOMIC"] * atomic + ["NO_SYNC"] * (not sync) + ["NO_FLUSH"] * (not flush)

    found = spin(PROMELA, tmp_path, *defines)

    assert (found.states, found.transitions) == (result.states, result.generated)
    assert found.errors == sum(one.hits for one in result.verdicts.values())


@pytest.mark.needs_tool("rumur")
@pytest.mark.needs_tool("gcc")
@pytest.mark.parametrize("parameters", VARIANTS[::3])
def test_rumur_counts_the_hand_written_model_as_the_explorer_does(
    parameters: Parameters, tmp_path: Path
) -> None:
    result = explored(parameters)

    found = rumur(MURPHI, tmp_path, constants=constants_of(parameters))

    assert (found.states, found.transitions + 1) == (result.states, result.generated)


@pytest.mark.needs_tool("rumur")
@pytest.mark.needs_tool("gcc")
@pytest.mark.parametrize(
    ("vcpus", "states"), [(2, 11_918), pytest.param(3, 197_364, marks=pytest.mark.slow)]
)
def test_rumurs_symmetry_reduction_leaves_as_many_states_as_the_explorers(
    vcpus: int, states: int, tmp_path: Path
) -> None:
    parameters: Parameters = (vcpus, 2, 1, False, True, True)
    result = explored(parameters, symmetry=True)

    constants = constants_of(parameters)
    found = rumur(MURPHI, tmp_path, constants=constants, symmetry=True, optimize="-O1")

    assert result.states == found.states == states
    assert found.transitions + 1 == result.generated


def test_the_published_count() -> None:
    assert explored((2, 2, 1, False, True, True)).states == 23_277
