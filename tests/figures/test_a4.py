"""Appendix A4: every public name once, its docstring as Markdown."""

from figures import a4
from memslotlib import check


def test_every_public_name_is_listed_once():
    listed = [name for names in a4.GROUPS.values() for name in names]

    assert sorted(listed) == sorted(check.__all__)


def test_a_docstring_becomes_markdown_with_its_doctest_as_a_block():
    text = "Take :class:`.Int`, :func:`.a.b`.\n\n>>> f(1)\n1\n\nSo::\n\n    x = 1\n    y"

    assert a4.markdown(text) == (
        "Take `Int`, `b`.\n\n```python\n>>> f(1)\n1\n```\n\nSo:\n\n```python\nx = 1\ny\n```"
    )


def test_an_entry_has_its_signature_its_docstring_and_its_members():
    text = a4.reference("traces").text

    assert text.startswith("**`Trace(")
    assert "**`replay(model, text, *, any_model=False)`**" in text
    assert "- `back`: Take the last step back; nothing happens at the beginning." in text
    assert ":func:" not in text
    assert "``" not in text.replace("```", "")


def test_what_actors_call_is_told():
    text = a4.shared().text

    for name in ("m.choose(options)", "m.wait(condition, *, end=False)", "m.reach(name)"):
        assert f"**`{name}`**" in text
