"""What this host can run, and the reason for what it cannot."""

from __future__ import annotations

import os

from ..errors import NotRunError
from ..uapi import API_VERSION, Cap
from . import backend as backends
from .backend import Backend
from .fds import Kvm

DEVICE = "/dev/kvm"


def open_kvm(device: str = DEVICE, backend: Backend | None = None) -> Kvm:
    """Open the device and check that it speaks the one API version there is.

    Raises NotRunError with the reason: absent, not permitted, no KVM, another API version.
    """
    backend = backend or backends.default()
    try:
        fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        why = "absent; load the module kvm_intel or kvm_amd"
        raise NotRunError(f"{device}: {why}") from None
    except PermissionError:
        raise NotRunError(f"{device}: not permitted (is this user in group kvm?)") from None
    except OSError as error:
        raise NotRunError(f"{device}: {os.strerror(error.errno or 0)}") from None
    kvm = Kvm(fd, backend)
    try:
        _check_version(kvm, device)
    except BaseException:
        kvm.close()
        raise
    return kvm


def _check_version(kvm: Kvm, device: str) -> None:
    try:
        version = kvm.get_api_version()
    except OSError as error:
        raise NotRunError(f"{device}: no KVM ({error})") from None
    if version != API_VERSION:
        raise NotRunError(f"{device}: KVM API version {version}, not {API_VERSION}")


def probe(device: str = DEVICE) -> dict[Cap, int]:
    """Return what KVM_CHECK_EXTENSION answers on the system for every capability we know.

    Raises NotRunError when there is no usable KVM.
    """
    kvm = open_kvm(device)
    try:
        return {cap: kvm.check_extension(cap) for cap in Cap}
    finally:
        kvm.close()


def missing(*caps: str | Cap, device: str = DEVICE) -> str:
    """Return why an experiment that needs ``caps`` cannot run here, or an empty string.

    A capability is given as a ``Cap`` or by name, with or without ``KVM_CAP_`` or ``CAP_``.

    Raises ValueError for a name that is none of ``Cap``.

    >>> missing("USER_MEMORY", device="/nonexistent")
    '/nonexistent: absent; load the module kvm_intel or kvm_amd'
    >>> missing("NO_SUCH_CAP")
    Traceback (most recent call last):
    ValueError: NO_SUCH_CAP: not a capability that memslotlib.uapi names
    """
    wanted = [_cap(cap) for cap in caps]
    try:
        present = probe(device)
    except NotRunError as error:
        return str(error)
    lacking = [cap.name for cap in wanted if not present[cap]]
    return f"{device}: lacks KVM_CAP_{', KVM_CAP_'.join(lacking)}" if lacking else ""


def require(*caps: str | Cap, device: str = DEVICE) -> None:
    """Raise NotRunError, with the reason, unless this host has every one of ``caps``."""
    reason = missing(*caps, device=device)
    if reason:
        raise NotRunError(reason)


def _cap(name: str | Cap) -> Cap:
    if isinstance(name, Cap):
        return name
    try:
        return Cap[name.removeprefix("KVM_").removeprefix("CAP_")]
    except KeyError:
        raise ValueError(f"{name}: not a capability that memslotlib.uapi names") from None
