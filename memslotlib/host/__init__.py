"""The real device: ``/dev/kvm`` behind the interface that the simulator answers too.

``KvmVm`` is the VM, ``missing`` and ``require`` say what this host lacks, ``describe`` what it is;
``host.race`` updates slots under a running guest. Nothing here is needed to read the book: without
a usable device everything raises ``NotRunError`` with the reason.
"""

from .access import GuestTimeoutError
from .capabilities import missing, probe, require
from .describe import Host, describe
from .vm import KvmVm

__all__ = ["GuestTimeoutError", "Host", "KvmVm", "describe", "missing", "probe", "require"]
