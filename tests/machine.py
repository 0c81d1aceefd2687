"""The Hypothesis machine that asks the simulator and this host's kernel the same calls."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from memslotlib.abi import SimVm
from memslotlib.abi.policy import HostPolicy
from memslotlib.conformance.differential import Pair
from memslotlib.conformance.generate import Generator
from memslotlib.host import KvmVm
from memslotlib.host.describe import describe

rngs = st.randoms(use_true_random=False)


def simulator():
    return SimVm(policy=HostPolicy.of(describe().module))


class Machine(RuleBasedStateMachine):
    """Drives the simulator and the kernel with the same calls, drawn and shrunk by Hypothesis."""

    calls = 0

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

    @rule(rng=rngs)
    def poke(self, rng):
        self.ask(rng, Generator.poke)

    @rule(rng=rngs)
    def create_gmem(self, rng):
        self.ask(rng, Generator.create_gmem)

    @rule(rng=rngs)
    def bind_gmem(self, rng):
        self.ask(rng, Generator.bind_gmem)

    @rule(rng=rngs)
    def reap(self, rng):
        if self.generator.dirty_ring:
            self.ask(rng, Generator.reap)
        else:
            self.ask(rng, Generator.reset_without_ring)

    @invariant()
    def the_simulator_is_sound(self):
        if hasattr(self, "pair"):
            self.pair.simulator.check()

    def teardown(self):
        if hasattr(self, "pair"):
            Machine.calls += len(self.pair.history)
            try:
                self.pair.compare_memory()
            finally:
                self.pair.simulator.close()
                self.pair.other.close()


def search(examples, steps):
    """Let Hypothesis look for a difference; return how many calls both were asked."""
    Machine.calls = 0
    Machine.TestCase.settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    Machine.TestCase("runTest").runTest()
    return Machine.calls
