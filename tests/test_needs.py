"""Needs are met, skipped and counted, or an error where they are required."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import needs
import pytest

#: A test file for every way in which a need can turn out, run by pytest in a directory of its own.
SAMPLE = """
import pytest

@pytest.mark.needs_tool("gcc")
def test_present(): pass

@pytest.mark.needs_tool("git")
def test_absent(): raise AssertionError("must not run")

@pytest.mark.parametrize("cap", [
    pytest.param("a", marks=pytest.mark.needs_kvm("READONLY_MEM")),
    pytest.param("b", marks=pytest.mark.needs_kvm("KVM_CAP_GUEST_MEMFD")),
])
def test_cap(cap): assert cap == "a"

@pytest.mark.needs_kvm()
@pytest.mark.needs_tool("gcc")
def test_both(): pass

def test_neither(): pass
"""

CONFTEST = """
import needs

needs.TOOLS["gcc"] = (("sh",), "gcc", "gcc")
needs.TOOLS["git"] = (("no-such-program",), "git", "git")

def missing_on_host(cap=""):
    return {missing!r} or ("lacks " + cap if "GUEST_MEMFD" in cap else "")

needs.missing_on_host = missing_on_host

def pytest_configure(config):
    config.pluginmanager.register(needs.NeedsPlugin(needs.required({required!r})), "needs")
"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Run the sample in a process of its own; nothing that it patches comes back."""
    pytester.makeini(
        f"[pytest]\npythonpath = {Path(needs.__file__).parent}\n"
        "markers =\n    needs_kvm(*caps):\n    needs_tool(name):\n"
    )
    pytester.makepyfile(SAMPLE)

    def sample(*arguments: str, required: str = "", kvm: str = "") -> pytest.RunResult:
        pytester.makeconftest(CONFTEST.format(required=required, missing=kvm))
        return pytester.runpytest_subprocess("-rs", *arguments)

    return sample


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_an_unmet_need_is_skipped_named_and_counted(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)

    result.assert_outcomes(passed=4, skipped=2)
    result.stdout.fnmatch_lines(
        [
            "KVM_CAP_GUEST_MEMFD: 0 ran, 1 skipped (lacks KVM_CAP_GUEST_MEMFD)",
            "KVM_CAP_READONLY_MEM: 1 ran, 0 skipped",
            "gcc: 2 ran, 0 skipped",
            "git: 0 ran, 1 skipped (needs git (Debian: git, Fedora: git))",
            "kvm: 2 ran, 0 skipped",
        ]
    )


def test_without_kvm_its_capabilities_are_not_asked_for(run: Run) -> None:
    result = run(kvm="/dev/kvm: No such file or directory")

    result.assert_outcomes(passed=2, skipped=4)
    result.stdout.fnmatch_lines(["kvm: 0 ran, 3 skipped (/dev/kvm: No such file or directory)"])
    result.stdout.no_fnmatch_line("KVM_CAP_*")


@pytest.mark.parametrize(
    ("required", "errors"),
    [("git", 1), ("gcc, kvm", 0), ("KVM_CAP_GUEST_MEMFD,git", 2)],
)
def test_a_required_need_that_is_not_met_is_an_error(run: Run, required: str, errors: int) -> None:
    result = run(required=required)

    result.assert_outcomes(passed=4, skipped=2 - errors, errors=errors)
    assert result.ret == (1 if errors else 0)


def test_a_need_that_nobody_knows_is_an_error_and_not_a_skip() -> None:
    with pytest.raises(
        pytest.UsageError, match=r"needs_kvm\('NOTHING'\): NOTHING: not a capability"
    ):
        needs.kvm_need("NOTHING")
    with pytest.raises(pytest.UsageError, match="add it, with its packages, to TOOLS"):
        needs.tool_need("nothing")


def test_the_list_of_requirements_ignores_blanks() -> None:
    assert needs.required(" gcc, kvm ,,") == {"gcc", "kvm"}
    assert needs.required("") == frozenset()
