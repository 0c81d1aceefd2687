import errno

import pytest

from memslotlib.errors import NotRunError
from memslotlib.host import backend as backends
from memslotlib.host.backend import choose, default
from memslotlib.host.ioctls import Ioctl


def test_a_bad_descriptor_is_a_result_and_no_exception(backend):
    assert backend.ioctl(-2, Ioctl.RUN, 0) == -errno.EBADF
    assert backend.ioctl_buffer(-2, Ioctl.ENABLE_CAP, bytearray(104)) == -errno.EBADF
    assert backend.set_region(-2, 1, 0, 0, 0, 0) == -errno.EBADF
    assert backend.set_region2(-2, 1, 0, 0, 0, 0, 0, 0) == -errno.EBADF


def test_another_kind_of_file_answers_enotty(backend):
    with open("/dev/null") as null:  # noqa: PTH123
        assert backend.ioctl(null.fileno(), Ioctl.GET_API_VERSION, 0) == -errno.ENOTTY


@pytest.mark.parametrize("field", range(5))
def test_a_number_that_fits_no_field_is_refused_before_the_ioctl(backend, field):
    region = [0] * 5
    region[field] = 1 << 64

    with pytest.raises(OverflowError):
        backend.set_region(-2, *region)


def test_a_bracket_leaves_the_phase_even_also_after_a_refusal(backend):
    words = memoryview(bytearray(24)).cast("Q")

    refused = backend.bracketed(-2, words, 1, [(1, 0, 0, 0, 0), (1, 0, 0, 0, 0)])

    assert refused == -errno.EBADF
    assert list(words) == [0, 2, 0]


def test_the_environment_chooses(monkeypatch):
    monkeypatch.setenv("MEMSLOTS_BACKEND", "ctypes")

    assert default().name == "ctypes"


def test_without_the_compiled_module_ctypes_is_taken(monkeypatch):
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)

    assert choose().name == "ctypes"
    with pytest.raises(NotRunError, match="memslotlib._kvm is not built"):
        choose("cffi")
