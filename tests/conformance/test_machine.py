"""The simulator held against this host's kernel: random calls, every answer compared."""

import machine
import pytest

from memslotlib.conformance.generate import random_run
from memslotlib.host import KvmVm


@pytest.mark.needs_kvm
def test_hypothesis_finds_no_difference():
    assert machine.search(examples=40, steps=60) > 1000


@pytest.mark.needs_kvm
def test_a_fixed_random_run_finds_no_difference():
    coverage = random_run(machine.simulator, KvmVm, 6000, seed=20221128)

    assert coverage["calls"] >= 6000
