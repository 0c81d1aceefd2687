import pytest

from memslotlib.views.prose import say


def test_numbers_come_from_values_and_go_to_pages_and_mails_alike():
    said = say("{hits:,} of {trials:,}", hits=3600, trials=3600)

    assert said.text == "3,600 of 3,600"
    assert said._repr_mimebundle_() == {"text/markdown": said.text, "text/plain": said.text}


def test_a_number_that_is_missing_is_an_error_not_a_gap():
    with pytest.raises(KeyError, match="trials"):
        say("{trials}")
