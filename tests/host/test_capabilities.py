import os

import pytest

from memslotlib.errors import NotRunError
from memslotlib.host import capabilities
from memslotlib.host.capabilities import missing, open_kvm, probe, require
from memslotlib.host.fds import Kvm
from memslotlib.uapi import API_VERSION, MEM_SLOTS_NUM, USER_MEM_SLOTS, Cap


def test_an_absent_device_is_named():
    with pytest.raises(NotRunError, match=r"^/nonexistent/kvm: absent; load the module"):
        open_kvm("/nonexistent/kvm")


def test_a_device_that_may_not_be_opened_is_named(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(capabilities.os, "open", refuse)

    with pytest.raises(NotRunError, match=r"^/dev/kvm: not permitted \(is this user in group kvm"):
        open_kvm("/dev/kvm")


def test_something_that_cannot_be_opened_for_writing_is_named(tmp_path):
    with pytest.raises(NotRunError, match="Is a directory"):
        open_kvm(str(tmp_path))


def test_another_device_is_no_kvm(backend):
    with pytest.raises(NotRunError, match="^/dev/null: no KVM .*KVM_GET_API_VERSION: ENOTTY"):
        open_kvm("/dev/null", backend)


def test_another_api_version_is_refused_and_nothing_stays_open(monkeypatch, backend):
    monkeypatch.setattr(Kvm, "get_api_version", lambda self: 13)
    before = os.listdir("/proc/self/fd")  # noqa: PTH208

    with pytest.raises(NotRunError, match="^/dev/null: KVM API version 13, not 12$"):
        open_kvm("/dev/null", backend)

    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def test_every_lacking_capability_is_named(monkeypatch):
    monkeypatch.setattr(capabilities, "probe", lambda device: dict.fromkeys(Cap, 0))

    with pytest.raises(NotRunError, match="^/dev/kvm: lacks KVM_CAP_X86_SMM, KVM_CAP_GUEST_MEMFD$"):
        require("X86_SMM", "KVM_CAP_GUEST_MEMFD")


@pytest.mark.parametrize("name", ["X86_SMM", "CAP_X86_SMM", "KVM_CAP_X86_SMM", Cap.X86_SMM])
def test_a_capability_goes_by_any_of_its_names(monkeypatch, name):
    monkeypatch.setattr(capabilities, "probe", lambda device: dict.fromkeys(Cap, 1))

    assert missing(name) == ""


@pytest.mark.needs_kvm
def test_the_kernel_s_numbers_are_ours():
    caps = probe()

    assert caps[Cap.USER_MEMORY] == 1
    assert caps[Cap.NR_MEMSLOTS] in (USER_MEM_SLOTS, MEM_SLOTS_NUM)
    kvm = open_kvm()
    assert kvm.get_api_version() == API_VERSION
    kvm.close()
