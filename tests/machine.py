"""The Hypothesis machine that asks the simulator and this host's kernel the same calls."""

from functools import cache

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from memslotlib.conformance.differential import Pair
from memslotlib.conformance.generate import Generator
from memslotlib.conformance.hostpolicy import this_host
from memslotlib.host import KvmVm

rngs = st.randoms(use_true_random=False)


@cache
def host():
    return this_host()


def simulator():
    return host().simulator()


class Machine(RuleBasedStateMachine):
    """Drives the simulator and the kernel with the same calls, drawn and shrunk by Hypothesis."""

    calls = 0

    @initialize(ring=st.booleans(), rng=rngs)
    def start(self, ring, rng):
        self.pair = Pair(simulator(), KvmVm())
        self.generator = Generator(rng, dirty_ring=ring, guest_memfd=host().policy.guest_memfd)
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
    def check_capability(self, rng):
        self.ask(rng, Generator.check_capability)

    @rule(rng=rngs)
    def log_later(self, rng):
        self.ask(rng, Generator.log_later)

    @rule(rng=rngs)
    def recreate_smaller(self, rng):
        self.ask(rng, Generator.recreate_smaller)

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
