"""Bugs of the past, each from the protocol before its fix: what the model has to find.

A model that finds none of the known bugs proves little when it finds nothing. Here each is one file
with two models, which share the steps of :mod:`memslotlib.protocol`: *before* breaks a property in
a shortest trace, *after* keeps all of them, and both come through the same window.
"""

from . import (
    cache_in_flux,
    copy_before_lock,
    error_path,
    fault_in_old_root,
    generation_at_publish,
    generation_before_zap,
    no_flush_on_enable,
    no_retry,
    notifier_maps_invalid,
    notifier_skips_old_root,
    protect_before_swap,
    retry_in_section,
)
from .bug import Bug

#: Every bug, the oldest fix first; what was never merged comes last.
BUGS: tuple[Bug, ...] = (
    protect_before_swap.BUG,
    generation_at_publish.BUG,
    generation_before_zap.BUG,
    cache_in_flux.BUG,
    no_retry.BUG,
    copy_before_lock.BUG,
    fault_in_old_root.BUG,
    notifier_skips_old_root.BUG,
    no_flush_on_enable.BUG,
    notifier_maps_invalid.BUG,
    retry_in_section.BUG,
    error_path.BUG,
)

__all__ = ["BUGS", "Bug"]
