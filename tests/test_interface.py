import pytest

from memslotlib.abi import SimVm
from memslotlib.interface import REACH_BYTES, Context, check_reach

LIMITS = {
    Context.REAL16: 1 << 32,
    Context.PROT32: 1 << 32,
    Context.LONG64: 1 << 36,
    Context.LONG64_CPL3: 1 << 36,
}


def test_a_context_addresses_4_or_64_gib():
    assert REACH_BYTES == LIMITS


@pytest.mark.parametrize("context", Context)
def test_an_access_must_end_within_what_its_context_addresses(context):
    limit = LIMITS[context]
    check_reach(0, 1, context)
    check_reach(limit - 8, 8, context)

    for gpa in (-1, limit - 7, limit, 1 << 64):
        with pytest.raises(ValueError) as error:
            check_reach(gpa, 8, context)
        assert str(error.value) == (
            f"gpa [{gpa:#x}, {gpa + 8:#x}): a {context.value} guest addresses [0, {limit:#x})"
        )


@pytest.mark.parametrize(
    ("access", "size"),
    [
        (lambda vm, gpa, context: vm.read(gpa, 4, context=context), 4),
        (lambda vm, gpa, context: vm.write(gpa, b"abcdefgh", context=context), 8),
        (lambda vm, gpa, context: vm.fetch(gpa, context=context), 2),
    ],
)
@pytest.mark.parametrize("context", Context)
def test_the_simulator_refuses_what_it_cannot_address(access, size, context):
    end = LIMITS[context]
    vm = SimVm()

    access(vm, end - size, context)
    with pytest.raises(ValueError) as error:
        access(vm, end - size + 1, context)
    assert f"gpa [{end - size + 1:#x}, {end + 1:#x}): " in str(error.value)
