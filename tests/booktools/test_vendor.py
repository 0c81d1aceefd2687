"""The site's own scripts: made from locked packages, made again only when a source changes."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from memslotlib.booktools import nodejs, vendor
from memslotlib.booktools.paths import ROOT


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for node_modules with every file that is copied."""
    node = tmp_path / "node_modules"
    for source, target in vendor._FROM_NODE.items():
        path = node / source
        if target.endswith(".js"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"// {source}")
        else:
            path.mkdir(parents=True)
            (path / "font.woff").write_text("font")
    monkeypatch.setattr(vendor, "NODE_MODULES", node)
    monkeypatch.setattr(vendor, "BUILD", tmp_path / "_build")
    monkeypatch.setattr(vendor, "VENDOR", tmp_path / "_build" / "vendor")
    return node


def test_every_address_that_pages_name_is_provided(packages: Path) -> None:
    folder = vendor.provide()

    for address in (vendor.CHARTS, vendor.MATHJAX, vendor.MATHJAX_SHIM, vendor.WIDGETS):
        assert (folder / address).stat().st_size > 0
    bundle = (folder / vendor.CHARTS).read_text(encoding="utf-8")
    assert "memslots-chart" in bundle
    assert len(bundle) > 500_000, "the bundle lacks Vega"


def test_provided_once_then_left_alone_until_a_source_changes(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = vendor.provide()
    made = (folder / vendor.CHARTS).stat().st_mtime_ns

    assert vendor.provide() == folder
    assert (folder / vendor.CHARTS).stat().st_mtime_ns == made

    monkeypatch.setattr(vendor, "_stamp", lambda: "another")
    vendor.provide()
    assert (folder / vendor.CHARTS).stat().st_mtime_ns > made
    left = {path.name for path in folder.parent.iterdir()}
    assert left == {"vendor"}, "temporary folders were left behind"


def test_missing_packages_are_installed_first(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = packages.rename(packages.with_name("hidden"))
    monkeypatch.setattr(nodejs, "install_packages", lambda: hidden.rename(packages))

    assert (vendor.provide() / vendor.MATHJAX).exists()


def test_lock_file_names_no_registry() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
    entries = [entry for name, entry in lock["packages"].items() if name]

    assert len(entries) > 100
    assert [entry for entry in entries if "resolved" in entry] == []
    assert all(entry["integrity"].startswith("sha512-") for entry in entries)
    assert not any(urlsplit(entry["version"]).netloc for entry in entries)
