"""One family of errors: the simulator and the kernel raise the same class with the same errno."""

from __future__ import annotations

import errno as _errno
import os
from collections.abc import Mapping


class MemslotError(Exception):
    """Base of every error that this library raises on purpose."""


class LayoutError(MemslotError, ValueError):
    """A region or a layout breaks a rule of memslots before any backend is asked."""


class NotRunError(MemslotError):
    """An experiment cannot run on this host; the text says what was missing."""


class KvmError(MemslotError, OSError):
    """An ioctl failed: which one, with which errno, on which fields, by which rule.

    The text names the ioctl, the errno's name and every field that was passed (addresses and sizes
    in hexadecimal); the simulator adds the rule that refused, the kernel cannot.

    Attributes: ``ioctl`` (str), ``errno`` (int), ``fields`` (mapping of name to int), ``rule``
    (str, empty when the kernel raised).

    Source: api.rst, "General description": an ioctl returns -1 and sets errno.

    >>> raise KvmError("KVM_SET_USER_MEMORY_REGION", 22, {"memory_size": 5}, "size-aligned")
    Traceback (most recent call last):
    memslotlib.errors.KvmError: [Errno 22] KVM_SET_USER_MEMORY_REGION: EINVAL (Invalid argument) \
memory_size=0x5; rule size-aligned
    """

    def __init__(
        self, ioctl: str, errno: int, fields: Mapping[str, int] | None = None, rule: str = ""
    ) -> None:
        self.ioctl = ioctl
        self.fields = dict(fields or {})
        self.rule = rule
        words = [f"{ioctl}: {errno_name(errno)} ({os.strerror(errno)})"]
        words += [f"{name}={_shown(value)}" for name, value in self.fields.items()]
        super().__init__(errno, " ".join(words) + (f"; rule {rule}" if rule else ""))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by the four facts; OSError alone would keep two."""
        return (type(self), (self.ioctl, self.errno, self.fields, self.rule))


def errno_name(errno: int) -> str:
    """Return the symbolic name of an errno, or ``errno N`` for a number that has none.

    >>> errno_name(17), errno_name(0), errno_name(9999)
    ('EEXIST', 'OK', 'errno 9999')
    """
    return "OK" if errno == 0 else _errno.errorcode.get(errno, f"errno {errno}")


def _shown(value: object) -> str:
    return hex(value) if isinstance(value, int) else str(value)
