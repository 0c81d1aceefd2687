import pytest

from memslotlib.costs.steps import Steps, formula, of_apis, of_operations, other_backing
from memslotlib.protocol.apis import APIS
from memslotlib.protocol.scenes import SPLIT
from memslotlib.protocol.world import X86_SLOT_ZAP


def test_delete_and_move_swap_twice_and_zap_all_and_the_others_do_not():
    found = of_operations()

    assert {name: (made.swaps, made.waits, made.zaps_all) for name, made in found.items()} == {
        "no-op": (0, 0, 0),
        "flags": (1, 1, 0),
        "move": (2, 2, 1),
        "delete": (2, 2, 1),
        "create": (1, 1, 0),
    }


def test_where_a_slot_zaps_its_own_nothing_zaps_all():
    for made in of_operations(X86_SLOT_ZAP).values():
        assert made.zaps_all == 0
    assert of_operations(X86_SLOT_ZAP)["delete"].zaps == 1


def test_every_api_has_its_steps_or_its_reason():
    found = of_apis(other_backing(2))

    assert set(found) == set(APIS)
    assert all(isinstance(made, Steps) or made for made in found.values())
    assert found["today"] == Steps(swaps=6, waits=6, zaps_all=2, zaps=2, kicks=2, pauses=0)
    assert found["pause"].pauses == 1
    assert isinstance(found["primitives"], str)
    assert of_apis(SPLIT)["primitives"].zaps == 0


def test_a_formula_from_one_and_two_slots_holds_for_more():
    one, two, five = (of_apis(other_backing(slots)) for slots in (1, 2, 5))
    for key in APIS:
        if isinstance(one[key], Steps):
            for what in ("swaps", "waits", "zaps_all", "kicks", "pauses"):
                ones, twos, fives = (getattr(made[key], what) for made in (one, two, five))
                assert fives == ones + 4 * (twos - ones), (key, what)


@pytest.mark.parametrize(
    ("ones", "twos", "said"), [(3, 6, "3N"), (2, 3, "N + 1"), (1, 1, "1"), (0, 0, "0")]
)
def test_a_formula_is_said_in_n(ones, twos, said):
    assert formula(ones, twos) == said
