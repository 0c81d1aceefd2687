"""How the work is cited agrees with what it is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import memslotlib
import memslotlib.claims

ROOT = Path(__file__).resolve().parents[1]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_version_is_the_same_everywhere() -> None:
    assert CITATION["version"] == PROJECT["version"] == memslotlib.__version__


def test_the_licenses_are_the_same_everywhere() -> None:
    assert " AND ".join(CITATION["license"]) == PROJECT["license"]
    assert all((ROOT / name).is_file() for name in PROJECT["license-files"])


def test_the_authors_are_the_same_everywhere() -> None:
    authors = [author["name"] for author in CITATION["authors"]]
    assert authors == [author["name"] for author in PROJECT["authors"]]
    assert all(authors[0] in (ROOT / name).read_text("utf-8") for name in PROJECT["license-files"])


def test_the_citation_file_has_what_the_format_requires() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= CITATION.keys()
    assert CITATION["type"] in {"software", "dataset"}


def test_a_released_version_is_in_the_changelog() -> None:
    versions = re.findall(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert CITATION["version"] == (versions[0] if versions else "0.1.0")


def test_every_claim_is_in_the_changelog() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    ids = memslotlib.claims.load(ROOT / "book" / "claims").keys()
    assert [name for name in ids if not re.search(rf"\b{re.escape(name)}\b", changes)] == []


def test_architecture_fits_in_200_lines() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text("utf-8").splitlines()) <= 200
