from __future__ import annotations

import pickle

import pytest

from memslotlib.check.errors import CheckError, ModelError, nearest
from memslotlib.errors import MemslotError


def test_both_errors_belong_to_the_family():
    assert issubclass(ModelError, CheckError)
    assert issubclass(CheckError, MemslotError)


@pytest.mark.parametrize(
    ("places", "text"),
    [
        ({}, "wrong"),
        ({"where": "m.py:7"}, "m.py:7: wrong"),
        ({"actor": "vcpu0"}, "vcpu0: wrong"),
        ({"state": "x=3"}, "wrong; in state x=3"),
        (
            {"where": "m.py:7", "actor": "vcpu0", "state": "x=3"},
            "m.py:7: vcpu0: wrong; in state x=3",
        ),
    ],
)
def test_the_text_names_the_places_that_are_known_and_no_others(places, text):
    error = ModelError("wrong", **places)

    assert str(error) == text
    assert (error.where, error.actor, error.state) == tuple(
        places.get(name, "") for name in ("where", "actor", "state")
    )


def test_a_place_that_is_known_is_not_replaced():
    error = ModelError("wrong", where="inner.py:1").placed(where="outer.py:2", actor="a", state="s")

    assert str(error) == "inner.py:1: a: wrong; in state s"
    assert str(error.placed(where="w", actor="b", state="t")) == str(error)


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("conter", ["done", "counter"], "did you mean 'counter'?"),
        ("zzz", ["done", "counter"], "declared are done, counter"),
        ("zzz", [], "none is declared"),
    ],
)
def test_the_nearest_name_is_hinted_at_or_all_there_are(name, known, hint):
    assert nearest(name, known) == hint


def test_an_error_keeps_its_places_when_it_goes_to_another_process():
    error = ModelError("wrong", where="m.py:7", actor="a", state="x=1")

    again = pickle.loads(pickle.dumps(error))

    assert str(again) == str(error)
    assert vars(again) == vars(error)
