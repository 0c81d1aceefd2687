"""What a page says of the host it was built on."""

from __future__ import annotations

from pathlib import Path

import pytest

from memslotlib.booktools import host


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("kvm_intel", "kvm_intel"),
        ("kvm_amd", "kvm_amd"),
        ("kvm_pvm", "kvm_pvm (out-of-tree)"),
        ("ext4", "no KVM module"),
    ],
)
def test_module_behind_kvm_is_named_and_marked(tmp_path: Path, module: str, told: str) -> None:
    (tmp_path / "sys" / "module" / module).mkdir(parents=True)

    assert host.kvm_module(tmp_path) == told


@pytest.mark.needs_kvm
@pytest.mark.parametrize("wanted", ["cffi", "ctypes"])
def test_backend_is_the_one_that_chapters_use(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    if wanted == "cffi":
        pytest.importorskip("memslotlib._kvm", reason="the native module is not built")
    monkeypatch.setenv("MEMSLOTS_BACKEND", wanted)

    assert host.backend() == f"kvm ({wanted})"


def test_without_the_device_the_reason_is_told(tmp_path: Path) -> None:
    device = tmp_path / "kvm"

    assert host.backend(str(device)) == (
        f"sim ({device}: absent; load the module kvm_intel or kvm_amd)"
    )


def test_a_device_that_is_no_kvm_is_told_from_one_that_is_absent() -> None:
    # Both pages say NOT RUN, but one built here must not be taken for one built there.
    assert host.backend("/dev/null").startswith("sim (/dev/null: no KVM")
