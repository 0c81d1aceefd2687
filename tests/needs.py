"""What a test needs of its host: capabilities of /dev/kvm, and programs.

A test says it with ``needs_kvm("GUEST_MEMFD")`` or ``needs_tool("gcc")``. Where the need is not met
the test is skipped, with what is missing named, and the closing summary counts it. The environment
variable MEMSLOTS_REQUIRE lists needs (``gcc,kvm``) whose absence is an error instead: a machine that
is meant to have them cannot go quietly without.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from memslotlib.uapi import API_VERSION, Cap

KVM_GET_API_VERSION = 0xAE00
KVM_CREATE_VM = 0xAE01
KVM_CHECK_EXTENSION = 0xAE03

#: The programs that a test can ask for: other names of each, its Debian and its Fedora package.
TOOLS = {
    "gcc": (("gcc", "cc"), "gcc", "gcc"),
    "chromium": (("chromium", "chromium-browser", "google-chrome"), "chromium", "chromium"),
    "git": (("git",), "git", "git"),
    "make": (("make",), "make", "make"),
    "node": (("node",), "nodejs", "nodejs"),
}

_PROPERTY = "needs"


@dataclass(frozen=True)
class Need:
    """One thing a test needs, by the name that MEMSLOTS_REQUIRE uses; ``missing`` is empty if met."""

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


def kvm_need(device: Path = Path("/dev/kvm")) -> Need:
    """Return the need of a KVM that this process may use, and that speaks the one API version."""
    try:
        fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return Need("kvm", f"{device}: {os.strerror(error.errno or 0)}")
    try:
        version = fcntl.ioctl(fd, KVM_GET_API_VERSION)
    except OSError as error:
        return Need("kvm", f"{device}: KVM_GET_API_VERSION: {os.strerror(error.errno or 0)}")
    finally:
        os.close(fd)
    if version != API_VERSION:
        return Need("kvm", f"{device}: API version {version}, not {API_VERSION}")
    return Need("kvm")


def cap_need(cap: str) -> Need:
    """Return the need of a capability, named with or without its KVM_ and CAP_ prefixes."""
    short = cap.removeprefix("KVM_").removeprefix("CAP_")
    if short not in Cap.__members__:
        raise pytest.UsageError(f"needs_kvm({cap!r}): memslotlib.uapi.Cap has no {short}")
    name = f"KVM_CAP_{short}"
    return Need(name, "" if check_extension(Cap[short]) else f"needs {name}: this host answers 0")


@functools.cache
def check_extension(cap: int) -> int:
    """Ask a VM, not /dev/kvm: a capability may depend on the type of the VM."""
    kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    try:
        vm = fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
        try:
            return fcntl.ioctl(vm, KVM_CHECK_EXTENSION, cap)
        finally:
            os.close(vm)
    finally:
        os.close(kvm)


def tool_need(name: str) -> Need:
    """Return the need of a program."""
    if name not in TOOLS:
        raise pytest.UsageError(f"needs_tool({name!r}): add it, with its packages, to TOOLS")
    programs, debian, fedora = TOOLS[name]
    if any(shutil.which(program) for program in programs):
        return Need(name)
    return Need(name, f"needs {name} (Debian: {debian}, Fedora: {fedora})")


def needs_of(item: pytest.Item) -> list[Need]:
    """Return every need that a test is marked with; its capabilities count once /dev/kvm is there."""
    marks = list(item.iter_markers("needs_kvm"))
    needs = [tool_need(name) for mark in item.iter_markers("needs_tool") for name in mark.args]
    if marks:
        needs.append(device := kvm_need())
        if not device.missing:
            needs += [cap_need(cap) for mark in marks for cap in mark.args]
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
