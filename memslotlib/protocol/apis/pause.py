"""Stop the vCPUs around today's ioctls: QEMU's inhibit, or a kick and resume in the kernel.

Source: QEMU f39b7d2b96e3 (accel-blocker, in 8.0) and the series 20221022154819.1823133. Both keep
every vCPU out of KVM_RUN from before the first ioctl until after the last one; they differ in who
waits. Neither stops who writes to guest memory outside of KVM_RUN.
"""

from __future__ import annotations

from ..kernel import RETURN
from ..program import Program
from ..slots import Change
from ..userspace import PAUSE, RESUME
from ..world import Policy
from . import today


def update(change: Change, policy: Policy) -> Program:
    """Pause, delete and create as today, resume."""
    inside = [op for op in today.update(change, policy) if op != RETURN]
    return Program((*PAUSE, *inside, RETURN, RESUME), "pause all")
