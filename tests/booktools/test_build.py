"""The build's command lines, and what it says when something is missing."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from memslotlib.booktools import build, execute, vendor
from memslotlib.booktools.paths import BookError


def test_both_builders_are_strict() -> None:
    for flag in ("-W", "-n", "--keep-going"):
        assert flag in build._jupyter_book().command


def test_missing_environment_of_the_hedge_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build, "PLAIN_PYTHON", build.ROOT / "nowhere" / "python")

    with pytest.raises(BookError) as caught:
        build._plain_sphinx()
    assert "nowhere/python is missing" in str(caught.value)
    assert "requirements/sphinx.txt" in str(caught.value)


def test_a_failed_chapter_is_told_and_fails_the_build(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Path) -> None:
        raise BookError("q0.md: a cell failed")

    monkeypatch.setattr(vendor, "provide", lambda: None)
    monkeypatch.setattr(execute, "run_or_raise", fail)

    assert build.main([]) == 1
    assert capsys.readouterr().err == "q0.md: a cell failed\n"


def test_failing_builder_fails_the_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vendor, "provide", lambda: None)
    monkeypatch.setattr(execute, "run_or_raise", lambda cache: "none")
    memory = tmp_path / ".doctrees"
    builder = build.Builder(["/bin/false"], tmp_path, memory)
    monkeypatch.setattr(build, "_jupyter_book", lambda: builder)

    with pytest.raises(BookError, match="see the messages of false"):
        build.build()


def test_what_a_failed_build_remembers_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    memory = tmp_path / ".doctrees"
    monkeypatch.setattr(vendor, "provide", lambda: None)
    monkeypatch.setattr(execute, "run_or_raise", lambda cache: "none")

    def memory_after(command: str) -> list[str]:
        """Run a builder that remembers its name; return the names remembered."""
        shell = ["/bin/sh", "-c", f"mkdir -p {memory}; touch {memory}/{command}; {command}"]
        monkeypatch.setattr(build, "_jupyter_book", lambda: build.Builder(shell, tmp_path, memory))
        with suppress(BookError):
            build.build()
        return sorted(path.name for path in memory.iterdir())

    assert memory_after("true") == ["true"]
    assert memory_after("false") == ["false", "true"]
    assert memory_after("true") == ["true"]
    assert memory_after("test") == ["test", "true"]
    assert memory_after("false") == ["false"]


def test_built_site_is_told_by_its_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vendor, "provide", lambda: None)
    monkeypatch.setattr(execute, "run_or_raise", lambda cache: "none")
    builder = build.Builder(["/bin/true"], tmp_path, tmp_path / ".doctrees")
    monkeypatch.setattr(build, "_jupyter_book", lambda: builder)

    assert build.main([]) == 0
    assert f"the book is at {tmp_path / 'index.html'}" in capsys.readouterr().out
