"""An error names its ioctl, errno, fields and rule, and survives a process boundary."""

from __future__ import annotations

import copy
import errno
import pickle

import pytest

from memslotlib.errors import KvmError, LayoutError, MemslotError, NotRunError, errno_name

REFUSAL = KvmError("KVM_X", errno.EEXIST, {"slot": 0x10001, "memory_size": 0}, "no-overlap")


def test_the_text_names_ioctl_errno_fields_in_order_and_rule() -> None:
    assert str(REFUSAL) == (
        "[Errno 17] KVM_X: EEXIST (File exists) slot=0x10001 memory_size=0x0; rule no-overlap"
    )


def test_without_fields_and_rule_the_text_ends_after_the_errno() -> None:
    assert str(KvmError("KVM_X", errno.EBADF)) == "[Errno 9] KVM_X: EBADF (Bad file descriptor)"


def test_a_refusal_is_an_oserror_with_its_errno() -> None:
    with pytest.raises(OSError, match="KVM_X") as caught:
        raise REFUSAL
    assert caught.value.errno == errno.EEXIST


@pytest.mark.parametrize("again", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_a_copy_keeps_the_four_facts(again: object) -> None:
    twin = again(REFUSAL)  # type: ignore[operator]
    facts = (twin.ioctl, twin.errno, twin.fields, twin.rule)
    assert facts == ("KVM_X", errno.EEXIST, {"slot": 0x10001, "memory_size": 0}, "no-overlap")
    assert str(twin) == str(REFUSAL)


def test_the_fields_are_the_error_s_own() -> None:
    fields = {"slot": 1}
    error = KvmError("KVM_X", errno.EINVAL, fields)
    fields["slot"] = 2
    assert error.fields == {"slot": 1}


@pytest.mark.parametrize("kind", [KvmError, LayoutError, NotRunError])
def test_every_error_is_of_the_family(kind: type[Exception]) -> None:
    assert issubclass(kind, MemslotError)


def test_a_layout_error_is_a_value_error() -> None:
    assert issubclass(LayoutError, ValueError)


@pytest.mark.parametrize(
    ("number", "name"), [(0, "OK"), (22, "EINVAL"), (28, "ENOSPC"), (4095, "errno 4095")]
)
def test_an_errno_has_its_symbolic_name_or_its_number(number: int, name: str) -> None:
    assert errno_name(number) == name
