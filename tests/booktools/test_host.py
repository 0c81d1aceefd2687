"""What a page says of the host it was built on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from memslotlib.booktools import host


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("kvm_intel", "kvm_intel"),
        ("kvm_amd", "kvm_amd"),
        ("kvm_pvm", "kvm_pvm (out of tree)"),
        ("ext4", "no KVM module"),
    ],
)
def test_module_behind_kvm_is_named_and_marked(tmp_path: Path, module: str, told: str) -> None:
    (tmp_path / module).mkdir()

    assert host.kvm_module(tmp_path) == told


@pytest.mark.parametrize(("found", "told"), [(object(), "kvm (cffi)"), (None, "kvm (ctypes)")])
def test_backend_names_the_native_module_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: object, told: str
) -> None:
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)

    assert host.backend(device) == told


def test_without_the_device_the_simulator_is_the_backend(tmp_path: Path) -> None:
    assert host.backend(tmp_path / "kvm") == "sim"
