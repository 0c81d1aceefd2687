"""The simulator held against this host's kernel: random calls, every answer compared."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from memslotlib.abi import SimVm
from memslotlib.abi.policy import HostPolicy
from memslotlib.conformance.differential import Pair
from memslotlib.conformance.generate import Generator, random_run
from memslotlib.host import KvmVm
from memslotlib.host.describe import describe

rngs = st.randoms(use_true_random=False)


def simulator():
    return SimVm(policy=HostPolicy.of(describe().module))


class Machine(RuleBasedStateMachine):
    """Drives the simulator and the kernel with the same calls, drawn and shrunk by Hypothesis."""

    @initialize(ring=st.booleans(), rng=rngs)
    def start(self, ring, rng):
        self.pair = Pair(simulator(), KvmVm())
        self.generator = Generator(rng, dirty_ring=ring)
        for operation in self.generator.preamble():
            self.pair.step(operation)

    def ask(self, rng, method):
        self.generator.rng = rng
        for operation in method(self.generator):
            self.pair.step(operation)

    @rule(rng=rngs)
    def region(self, rng):
        self.ask(rng, Generator.region)

    @rule(rng=rngs)
    def region2(self, rng):
        self.ask(rng, Generator.region2)

    @rule(rng=rngs)
    def access(self, rng):
        self.ask(rng, Generator.access)

    @rule(rng=rngs)
    def get_log(self, rng):
        self.ask(rng, Generator.get_log)

    @rule(rng=rngs)
    def clear_log(self, rng):
        self.ask(rng, Generator.clear_log)

    @rule(rng=rngs)
    def capability(self, rng):
        self.ask(rng, Generator.capability)

    @invariant()
    def the_simulator_is_sound(self):
        if hasattr(self, "pair"):
            self.pair.simulator.check()

    def teardown(self):
        if hasattr(self, "pair"):
            try:
                self.pair.compare_memory()
            finally:
                self.pair.simulator.close()
                self.pair.other.close()


@pytest.mark.needs_kvm
def test_hypothesis_finds_no_difference():
    Machine.TestCase.settings = settings(
        max_examples=40,
        stateful_step_count=60,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    Machine.TestCase("runTest").runTest()


@pytest.mark.needs_kvm
def test_a_fixed_random_run_finds_no_difference():
    coverage = random_run(simulator, KvmVm, 6000, seed=20221128)

    assert coverage["calls"] >= 6000
