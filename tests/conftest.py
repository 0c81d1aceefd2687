"""What every test shares: the needs of its host, and Hypothesis's profiles."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings
from needs import NeedsPlugin, required

# CI finds what any other run of the same commit would find.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
# No deadline here either: the machines are noisy, and time is the benchmarks' matter.
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_configure(config: pytest.Config) -> None:
    """Look at what each test needs of this host, and count it."""
    # A shell has what it runs in the background ignore Ctrl-C, and Python leaves it at that: then
    # nobody could interrupt this run, nor could the tests that interrupt themselves.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    plugin = NeedsPlugin(required(os.environ.get("MEMSLOTS_REQUIRE", "")))
    config.pluginmanager.register(plugin, "needs")
