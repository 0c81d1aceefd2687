"""Getting a thread out of KVM_RUN: a signal that does nothing but interrupt.

``Alarm`` sends it to its own thread after a time limit, ``kick`` to another thread now. The signal
is a real-time one of our own; its handler runs no Python and so needs neither the main thread nor
the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading

#: SIGRTMIN and the two above it belong to the C library.
KICK = signal.SIGRTMIN + 5
#: An alarm that arrives before KVM_RUN is entered is lost: so it repeats.
REPEAT_NS = 10_000_000

_CLOCK_MONOTONIC = 1
_SIGEV_THREAD_ID = 4
_BILLION = 1_000_000_000

_libc = ctypes.CDLL(None, use_errno=True)


class _SigEvent(ctypes.Structure):
    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("thread_id", ctypes.c_int),
        ("padding", ctypes.c_char * 44),
    )


class _ITimerSpec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


def install() -> None:
    """Make the signal harmless; without a handler it would end the process."""
    # Any function that takes an int, changes nothing and may be called in a handler will do.
    nothing = ctypes.cast(_libc.getpid, ctypes.c_void_p)
    _libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    _libc.signal(KICK, nothing)


def kick(native_id: int) -> None:
    """Interrupt what the thread is in; a thread that has ended is left alone."""
    _libc.tgkill(os.getpid(), native_id, KICK)


class Alarm:
    """A timer that kicks the thread that armed it, again and again until it is disarmed."""

    def __init__(self) -> None:
        self._timer = ctypes.c_void_p()
        self._thread = 0
        self._off = _ITimerSpec()

    def arm(self, after_s: float) -> None:
        """Kick this thread in ``after_s`` seconds."""
        if self._thread != threading.get_native_id():
            self._aim()
        seconds, rest = divmod(int(after_s * _BILLION), _BILLION)
        self._set(_ITimerSpec(0, REPEAT_NS, seconds, rest))

    def disarm(self) -> None:
        """Let nobody be kicked."""
        self._set(self._off)

    def close(self) -> None:
        """Delete the timer."""
        if self._thread:
            _libc.timer_delete(self._timer)
            self._thread = 0

    def _aim(self) -> None:
        self.close()
        self._thread = threading.get_native_id()
        event = _SigEvent(None, KICK, _SIGEV_THREAD_ID, self._thread)
        if _libc.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)):
            self._thread = 0
            raise OSError(ctypes.get_errno(), "timer_create")

    def _set(self, spec: _ITimerSpec) -> None:
        _libc.timer_settime(self._timer, 0, ctypes.byref(spec), None)
