"""Memslots, atomically: the shared library behind the book.

Importing it loads neither cffi, altair nor ipywidgets: the simulator and the claims also run where
none of them is installed. Take what you need from its rooms, for example
``from memslotlib.abi import SimVm`` or ``from memslotlib.host import KvmVm``.
"""

__version__ = "0.1.0"
