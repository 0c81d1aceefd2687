"""Why lines never ran: each that did not has a reason, and no reason fits one that did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from memslotlib.check import Bounds, explore
from memslotlib.check.blocks import block
from memslotlib.claims import load
from memslotlib.litmus_model import POLICIES, api, explored, scene
from memslotlib.protocol import unran
from memslotlib.protocol.model import model
from memslotlib.protocol.sight import Sight
from memslotlib.protocol.unran import (
    HOLDS,
    NOT_ASKED,
    RULES,
    Line,
    Place,
    Rule,
    lines,
    reason,
    reasons,
)
from memslotlib.provenance import ROOT

SMALL = [
    ("hva-flip+vhost-stopped", "today", "x86"),
    ("hva-flip+vhost", "pause", "x86"),
    ("split+load", "rfc-intended", "arm64"),
    ("truncate+emulator", "user-exit", "arm64"),
    ("split-logged+store", "primitives", "x86"),
    ("hva-flip+exit", "kvm-userfault", "x86"),
    ("create-smm-cached+emulator", "attributes", "x86"),
]
SOURCES = sorted((ROOT / "memslotlib" / "protocol").glob("*.py"))


def told(name, key, policy):
    run = explored(name, key, policy)
    return list(reasons(run.scene.world(run.api, run.policy), run.result))


@pytest.mark.parametrize("cell", SMALL, ids=" ".join)
def test_each_line_that_did_not_run_has_a_reason_and_no_other(cell):
    found = told(*cell)

    assert found
    assert [str(line) for line, why in found if not why] == []
    assert [f"{line}: {why}" for line, why in found if line.is_covered] == []
    assert {line for line, _ in found} == {
        line for line in lines(explored(*cell).result) if not line.is_covered
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.reason)
def test_a_rule_fits_some_cells_of_claims_and_others_not(rule):
    claims = load(ROOT / "book" / "claims").values()
    cells = {
        (claim.litmus, one.api, policy)
        for claim in claims
        if claim.is_modelled
        for one, policy in claim.cells
        if not scene(claim.litmus).refusal(api(one.api))
    }
    worlds = [scene(name).world(api(key), POLICIES[policy]) for name, key, policy in cells]
    worlds.append(replace(scene("grow-cached+emulator").world(api("today")), tags=4))
    fits = {rule.fits(Sight(w)) for w in worlds}

    assert fits == {True, False}


@pytest.mark.parametrize(
    "place", [place for rule in RULES for place in rule.places], ids=lambda place: str(tuple(place))
)
def test_a_rule_names_lines_that_there_are(place):
    texts = {
        text.strip()
        for path in SOURCES
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if tuple(block(str(path), number)) == (place.function, place.guard)
    }

    assert any(text.startswith(place.since) for text in texts)


def test_a_line_that_no_rule_explains_is_told(monkeypatch):
    kept = tuple(rule for rule in RULES if rule.reason != "nobody pauses vCPUs")
    monkeypatch.setattr(unran, "RULES", kept)

    found = {str(line) for line, why in told(*SMALL[0]) if not why}

    assert any('yield "leaves KVM_RUN: paused"' in line for line in found)
    assert len(found) == 3


def test_a_rule_that_fits_a_line_that_ran_is_told(monkeypatch):
    wrong = Rule("it never enters the guest", (Place("enter_guest"),), lambda s: True)
    monkeypatch.setattr(unran, "RULES", (*RULES, wrong))

    ran = {line.text for line, why in told(*SMALL[0]) if line.is_covered and why}

    assert 'yield "IN_GUEST_MODE"' in ran


def test_a_step_that_says_what_breaks_runs_if_and_only_if_that_does():
    found = {why for line, why in told("split+load", "rfc-posted", "x86") if "I7" in line.text}
    held = {why for line, why in told("split+load", "rfc-intended", "arm64") if "I7" in line.text}

    assert found == set()
    assert held == {HOLDS}


def test_a_property_that_nobody_asks_for_is_not_said_to_hold():
    told_of = {why for line, why in told("split+load", "today", "x86") if "I6 " in line.text}

    assert told_of == {NOT_ASKED}


def test_a_search_that_is_cut_leaves_lines_without_a_reason():
    w = scene("split+load").world(api("today"))
    cut = explore(model(w), traces=False, bounds=Bounds(states=50))

    assert any("INVALID, retry" in line.text for line, why in reasons(w, cut) if not why)


def test_a_place_begins_where_it_says():
    place = Place("f", "x", "second")
    where = ("a.py", 1, "second = 2", unran.Block("f", "x"), True)

    assert place.has(Line(*where))
    assert place.has(Line("a.py", 2, "third = 3", unran.Block("f", "x"), True, ("second = 2",)))
    assert not place.has(Line("a.py", 0, "first = 1", unran.Block("f", "x"), True))
    assert not place.has(Line("a.py", 1, "second = 2", unran.Block("g", "x"), True))
    assert str(Line(*where)) == "a.py:1 f(): second = 2"


def test_the_first_rule_that_fits_tells(monkeypatch):
    sight = Sight(scene("split+load").world(api("today")))
    line = Line("vcpu.py", 1, "return", unran.Block("f"), False)
    rules = tuple(Rule(name, (Place("f"),), lambda s: True) for name in ("one", "two"))
    monkeypatch.setattr(unran, "RULES", rules)

    assert reason(line, sight, (), ()) == "one"
    assert reason(line._replace(block=unran.Block("g")), sight, (), ()) == ""
    assert Path(unran.__file__) in SOURCES
