"""A chapter's outputs come from a cache that fits everything that they were made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from memslotlib.booktools import cachekey, host


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "memslotlib/abi/rules.py",
        "memslotlib/booktools/build.py",
        "kvm/runner.c",
        "figures/data/q0.jsonl",
        "book/claims/q0.toml",
        "requirements/book.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one")
    return tmp_path


def test_key_stays_when_nothing_changes(tree: Path) -> None:
    assert cachekey.digest(tree, "here") == cachekey.digest(tree, "here")


@pytest.mark.parametrize(
    "name",
    [
        "memslotlib/abi/rules.py",
        "kvm/runner.c",
        "figures/data/q0.jsonl",
        "book/claims/q0.toml",
        "requirements/book.txt",
    ],
)
def test_key_changes_with_any_source(tree: Path, name: str) -> None:
    before = cachekey.digest(tree, "here")
    (tree / name).write_text("two")

    assert cachekey.digest(tree, "here") != before


def test_key_changes_with_a_new_file_and_with_a_renamed_one(tree: Path) -> None:
    before = cachekey.digest(tree, "here")
    (tree / "memslotlib/abi/rules.py").rename(tree / "memslotlib/abi/other.py")
    renamed = cachekey.digest(tree, "here")
    (tree / "memslotlib/abi/new.py").write_text("one")

    assert len({before, renamed, cachekey.digest(tree, "here")}) == 3


def test_key_changes_with_the_surroundings(tree: Path) -> None:
    assert cachekey.digest(tree, "sim") != cachekey.digest(tree, "kvm (cffi)")


@pytest.mark.parametrize(
    "name",
    [
        "memslotlib/booktools/build.py",
        "memslotlib/abi/__pycache__/rules.pyc",
        "memslotlib/_kvm.abi3.so",
        "figures/data/.lock",
    ],
)
def test_key_ignores_what_no_chapter_reads(tree: Path, name: str) -> None:
    before = cachekey.digest(tree, "here")
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text("two")

    assert cachekey.digest(tree, "here") == before


def test_surroundings_name_python_kernel_and_backend() -> None:
    told = cachekey.describe_surroundings()

    assert told.startswith("3.")
    assert "Linux" in told
    assert told.endswith(host.backend())


def test_build_names_its_cache_to_the_sphinx_that_it_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(cachekey.CHOSEN, str(tmp_path))
    assert cachekey.chosen_cache() == tmp_path

    monkeypatch.delenv(cachekey.CHOSEN)
    assert cachekey.chosen_cache() == cachekey.cache_path()
    assert cachekey.cache_path().parent == cachekey.CACHES
