"""What a test needs of its host: capabilities of /dev/kvm, and programs.

A test says it with ``needs_kvm("GUEST_MEMFD")`` or ``needs_tool("gcc")``. Where the need is not
met the test is skipped, with what is missing named, and the closing summary counts it. The
environment variable MEMSLOTS_REQUIRE lists needs (``gcc,kvm``) whose absence is an error instead: a
machine that is meant to have them cannot go quietly without.
"""

from __future__ import annotations

import functools
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from memslotlib.host.capabilities import missing as missing_on_host

#: The programs that a test can ask for: other names of each, its Debian and its Fedora package.
TOOLS = {
    "gcc": (("gcc", "cc"), "gcc", "gcc"),
    "chromium": (("chromium", "chromium-browser", "google-chrome"), "chromium", "chromium"),
    "git": (("git",), "git", "git"),
    "make": (("make",), "make", "make"),
    "node": (("node",), "nodejs", "nodejs"),
    "rumur": (("rumur",), "rumur", "no package known"),
    "spin": (("spin",), "spin", "no package known"),
}

_PROPERTY = "needs"


@dataclass(frozen=True)
class Need:
    """One thing a test needs, as MEMSLOTS_REQUIRE names it; ``missing`` is empty if it is met."""

    name: str
    missing: str = ""


@dataclass
class Tally:
    """How many tests ran and how many were skipped, for each need."""

    ran: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    missing: dict[str, str] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """One line a need, by name; a missing one says what was missing."""
        for name in sorted({*self.ran, *self.skipped}):
            counts = f"{name}: {self.ran[name]} ran, {self.skipped[name]} skipped"
            yield f"{counts} ({self.missing[name]})" if name in self.missing else counts


def required(environment: str) -> frozenset[str]:
    """Return the names in a MEMSLOTS_REQUIRE list."""
    return frozenset(word.strip() for word in environment.split(",") if word.strip())


@functools.cache
def kvm_need(cap: str = "") -> Need:
    """Return the need of KVM, or of one of its capabilities (named with or without KVM_CAP_)."""
    if not cap:
        return Need("kvm", missing_on_host())
    short = cap.removeprefix("KVM_").removeprefix("CAP_")
    try:
        return Need(f"KVM_CAP_{short}", missing_on_host(cap))
    except ValueError as error:
        raise pytest.UsageError(f"needs_kvm({cap!r}): {error}") from None


def tool_need(name: str) -> Need:
    """Return the need of a program."""
    if name not in TOOLS:
        raise pytest.UsageError(f"needs_tool({name!r}): add it, with its packages, to TOOLS")
    programs, debian, fedora = TOOLS[name]
    if any(shutil.which(program) for program in programs):
        return Need(name)
    return Need(name, f"needs {name} (Debian: {debian}, Fedora: {fedora})")


def needs_of(item: pytest.Item) -> list[Need]:
    """Return every need of a test; capabilities are asked for only where there is a KVM."""
    marks = list(item.iter_markers("needs_kvm"))
    needs = [tool_need(name) for mark in item.iter_markers("needs_tool") for name in mark.args]
    if marks:
        needs.append(device := kvm_need())
        if not device.missing:
            needs += [kvm_need(cap) for mark in marks for cap in mark.args]
    return list(dict.fromkeys(needs))


class NeedsPlugin:
    """Skips what cannot run, or fails it where it is required, and counts both."""

    def __init__(self, wanted: frozenset[str]) -> None:
        self.wanted = wanted
        self.tally = Tally()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Look at the test's needs before anything of it runs."""
        needs = needs_of(item)
        # In the report, because with pytest-xdist another process does the counting.
        item.user_properties += [(_PROPERTY, (need.name, need.missing)) for need in needs]
        for need in needs:
            if need.missing and need.name in self.wanted:
                pytest.fail(f"{need.missing}; MEMSLOTS_REQUIRE names {need.name}", pytrace=False)
        for need in needs:
            if need.missing:
                pytest.skip(need.missing)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once, when it was set up: it ran, or its missing needs kept it from it."""
        if report.when != "setup":
            return
        found = [Need(*value) for name, value in report.user_properties if name == _PROPERTY]
        missing = [need for need in found if need.missing]
        self.tally.missing.update((need.name, need.missing) for need in missing)
        self.tally.skipped.update(need.name for need in missing)
        if not missing:
            self.tally.ran.update(need.name for need in found)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what ran and what did not, and why, for each need."""
        lines = list(self.tally.lines())
        if lines:
            terminalreporter.section("needs", "=")
            for line in lines:
                terminalreporter.line(line)
