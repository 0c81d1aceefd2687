"""The experiments that are recorded: what each runs, with which parameters, into which file.

``make evidence`` runs all of them (:mod:`memslotlib.recording`) and appends one record each; a page
shows the newest one, marked when the code behind it has changed since. Nothing else records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, astuple
from itertools import product
from typing import Any

from . import (
    litmus,
    litmus_copying,
    litmus_increments,
    litmus_logs,
    litmus_standin_cost,
    litmus_standins,
    litmus_stores,
)
from .claims import load
from .conformance_experiments import cases, conformance
from .copying import How
from .costs.plan import MEASUREMENTS, PLAN
from .costs.rounds import medians
from .errors import NotRunError
from .evidence import Record
from .experiment import Experiment, Measured
from .interface import Access, Context
from .litmus import Property, Run
from .litmus_host import HostRunner, Method
from .litmus_stores import Check
from .provenance import ROOT
from .verdict import HOST_WORDS, VacuousError, Verdict, Word

#: Updates of one race; the figure that the book's tables are about.
UPDATES = 300
#: Updates of one overlap by the guest that most hosts run on the processor: nothing seen in so many
#: is less than one in 500, with 95 %.
OVERLAP_UPDATES = 1500
#: Moves that a guest on the processor runs inside: nothing seen is less than 1 in 3,300, with 95 %.
MOVE_UPDATES = 10_000
#: Exchanges of a backing under stores; fewer by a guest that may be interpreted.
FLIPS = {Context.LONG64_CPL3: 1500, Context.LONG64: 300}
#: Times that one ioctl is held.
HOLDS = 20
#: Times that a stand-in is off under stores, of which nothing seen is less than 3 in 100, with
#: 95 %; under other accesses, where less is looked for; and that it is timed, by pages.
SWITCHES = {Access.STORE: 100, Access.LOAD: 40, Access.FETCH: 40}
TIMED = dict(zip(litmus_standin_cost.PAGES, (200, 60), strict=True))

#: What runs every sequence of calls, under every test of the log.
SEQUENCES = "log-sequences"
#: How often each sequence of calls is made; and a VMM copies so many pages, so many times.
REPEATS = 3
COPIES, COPIED_PAGES = 20, 4096
#: How high each of two vCPUs counts, and how often.
INCREMENTS, COUNTS = 30_000_000, 10

#: What kvm_pvm interprets and other hosts may.
INTERPRETED = (Context.REAL16, Context.PROT32, Context.LONG64)
HELD_CONTEXTS = (Context.LONG64_CPL3, Context.LONG64)

#: What shows a race's record, by its method.
SHOWN_IN = {Method.RENDEZVOUS: "t0.1", Method.OVERLAP: "t0.3", Method.HELD: "t0.6"}


def experiments() -> list[Experiment]:
    """Return every experiment, in the order in which they are recorded."""
    stores = (*_stores(), *_standins(), *_logs(), *_copies(), *_increments())
    return [*_races(), *_moves(), *_creates(), *stores, *_costs(), cases(), conformance()]


def _races() -> Iterator[Experiment]:
    for test in litmus.TESTS.values():
        for context in Context:
            yield _race(test.name, "today", context, Method.RENDEZVOUS, UPDATES)
        for context, api in product(Context, test.apis):
            # An ioctl that returns at once is over before an interpreted guest makes an access.
            if api == "none" and context in INTERPRETED:
                continue
            updates = UPDATES if context in INTERPRETED else OVERLAP_UPDATES
            yield _race(test.name, api, context, Method.OVERLAP, updates)
        for context, api in product(HELD_CONTEXTS, test.apis):
            # Nothing to hold: it publishes nothing and waits for nobody.
            if api != "none":
                yield _race(test.name, api, context, Method.HELD, HOLDS)


def _moves() -> Iterator[Experiment]:
    """Q0.5 once more, with more updates than its figure needs: one access of each counts."""
    for test in litmus.TESTS.values():
        method = Method.OVERLAP
        yield _race(test.name, "move", Context.LONG64_CPL3, method, MOVE_UPDATES, "q4.jsonl")


def _creates() -> Iterator[Experiment]:
    """What Q0.1 to Q0.3 say of whole ioctls, asked inside the second one.

    Expected: NOT SEEN. CREATE publishes the new slot before it waits for anybody, so an access that
    begins while it waits finds the slot (kvm_main.c: kvm_activate_memslot()).
    """
    for test, context in product(litmus.TESTS.values(), HELD_CONTEXTS):
        yield _race(test.name, "today", context, Method.HELD_LAST, HOLDS, "q4.jsonl")


def _stores() -> Iterator[Experiment]:
    """What is expected of them, and why: ``litmus_stores.EXPECTED``."""
    code = ("memslotlib.litmus_stores",)
    for name, api in litmus_stores.EXPECTED:
        for context in HELD_CONTEXTS:
            shared = {"api": api, "context": context.value}
            if name == litmus_stores.FLIP:
                given = {**shared, "updates": FLIPS[context]}
                yield Experiment(
                    name, given, "q5.jsonl", code, measure_flip, ("t5.6",), api == "today"
                )
                continue
            # An ioctl that changes nothing waits for nobody.
            for held in (False, True) if api != "none" else (False,):
                given = {**shared, "held": held, "updates": HOLDS}
                yield Experiment(name, given, "q6.jsonl", code, measure_log, ("q6",), True)


def measure_flip(parameters: Mapping[str, Any]) -> Measured:
    """Exchange a backing under stores on this host; NotRunError when the host cannot."""
    from .host.describe import describe

    context = Context(parameters["context"])
    label = describe().label
    answer = litmus_stores.flip(parameters["api"], context, parameters["updates"], label)
    wanted = litmus_stores.expected(litmus_stores.FLIP, parameters["api"])
    return _checked(answer, wanted)


def measure_log(parameters: Mapping[str, Any]) -> Measured:
    """Update a slot that logs under stores on this host; NotRunError when the host cannot."""
    from .abi.policy import HostPolicy
    from .host.describe import describe

    host, context = describe(), Context(parameters["context"])
    native = context in HostPolicy.of(host.module).native_contexts
    path = "page tables" if native else "emulator"
    api, held = parameters["api"], parameters["held"]
    answer = litmus_stores.log(api, context, parameters["updates"], host.label, held=held)
    wanted = litmus_stores.expected(litmus_stores.LOG, api, held=held, path=path)
    return _checked(answer, wanted)


def _logs() -> Iterator[Experiment]:
    """What is expected of each sequence of calls: claims Q6.3 to Q6.8."""
    code = (
        "memslotlib.litmus_logs",
        "memslotlib.conformance.hostpolicy",
        "memslotlib.host.overrun",
        "memslotlib.host.vm",
    )
    shows = ("t6.1", *(f"q6.{number}" for number in range(3, 9)))
    given = {"repeats": REPEATS}
    yield Experiment(SEQUENCES, given, "q6.jsonl", code, measure_logs, shows, True)


def measure_logs(parameters: Mapping[str, Any]) -> Measured:
    """Ask the simulator and this host's kernel every sequence; NotRunError when there is none.

    Runs that came to the same are one row, with their number.
    """
    from .conformance.hostpolicy import this_host
    from .host import KvmVm, require
    from .host.overrun import overrun

    require()
    contexts, repeats = HELD_CONTEXTS, parameters["repeats"]
    rows = list(litmus_logs.compared(this_host().simulator, KvmVm, contexts, repeats))
    told: list[dict[str, Any]] = []
    for row in rows:
        same = next((one for one in told if row.told.items() <= one.items()), None)
        if same is None:
            told.append({**row.told, "runs": 1})
        else:
            same["runs"] += 1
    written = [
        (row.sequence.name, *astuple(fetch))
        for row in rows
        if row.test is litmus_logs.Tracking.SIZE and not row.kernel.refused
        for fetch in overrun(row.sequence.creates, row.sequence.calls)
    ]
    differ = sorted({row.name for row in rows if row.differs})
    return Measured({"runs": len(rows), "differ": differ}, {"rows": told, "written": written})


def recall_sequences(record: Record) -> dict[str, Verdict]:
    """Return the verdicts that a record of ``litmus_logs`` holds, as ``answered`` names them."""
    return litmus_logs.answered(record.samples, host_label(record))


def _copies() -> Iterator[Experiment]:
    """What is expected of each order of calls, and why: claim Q6.9."""
    code = ("memslotlib.litmus_copying",)
    for how in How:
        given = {
            "api": how.value,
            "context": Context.LONG64_CPL3.value,
            "property": litmus_copying.KEEPS,
            "trials": COPIES,
            "pages": COPIED_PAGES,
        }
        quick = how in (How.GET_DELETE, How.PAUSE)
        name = litmus_copying.NAME
        yield Experiment(name, given, "q6.jsonl", code, measure_copies, ("t6.7",), quick)


def measure_copies(parameters: Mapping[str, Any]) -> Measured:
    """Copy pages by the log under stores on this host; NotRunError when the host cannot."""
    from .host.describe import describe

    how, context = How(parameters["api"]), Context(parameters["context"])
    trials, pages = parameters["trials"], parameters["pages"]
    verdict, samples = litmus_copying.raced(how, context, trials, pages, describe().label)
    return Measured({**_counts(verdict), "expected": _expected("Q6.9", how.value)}, samples)


def _increments() -> Iterator[Experiment]:
    """What is expected of each, and why: claim Q6.10."""
    code = ("memslotlib.litmus_increments",)
    for api in litmus_increments.APIS:
        given = {
            "api": api,
            "context": Context.LONG64_CPL3.value,
            "property": litmus_increments.KEEPS,
            "increments": INCREMENTS,
            "runs": COUNTS,
        }
        name, quick = litmus_increments.NAME, api in ("today", "pause", "unlocked")
        yield Experiment(name, given, "q6.jsonl", code, measure_increments, ("t6.13",), quick)


def measure_increments(parameters: Mapping[str, Any]) -> Measured:
    """Let two vCPUs count on this host; NotRunError when the host cannot."""
    from .host.describe import describe

    api, runs, increments = (parameters[key] for key in ("api", "runs", "increments"))
    verdict, samples = litmus_increments.counted(api, runs, increments, describe().label)
    return Measured({**_counts(verdict), "expected": _expected("Q6.10", api)}, samples)


def _expected(identity: str, api: str) -> str:
    """Return what a claim expects of a host, as it was written before the run."""
    word: str = load(ROOT / "book" / "claims")[identity].expected(api).host.value
    return word


def recalled(record: Record) -> Verdict:
    """Return the verdict of a record that holds one."""
    return sampled(record.result, host_label(record))


def _checked(
    answer: litmus_stores.Answer, wanted: Mapping[Check, litmus_stores.Expected]
) -> Measured:
    """Return an answer as a record keeps it, each word beside the one that was expected."""
    result = {
        check.value: {**_counts(verdict), "expected": wanted[check].word.value}
        for check, verdict in answer.verdicts.items()
    }
    return Measured(result, answer.samples)


def _standins() -> Iterator[Experiment]:
    """What is expected, and why: ``litmus_standins.expected``, ``litmus_standin_cost.CHEAPER``."""
    code, timed = ("memslotlib.litmus_standins",), ("memslotlib.litmus_standin_cost",)
    for api, context in product(litmus_standins.APIS, HELD_CONTEXTS):
        where = {"api": api, "context": context.value}
        for access, rounds in SWITCHES.items():
            parameters = {**where, "access": access.value, "rounds": rounds}
            yield Experiment(
                litmus_standins.NAME,
                parameters,
                "q2.jsonl",
                code,
                measure_standin,
                shows=("t2.1", "t2.2"),
                quick=context is Context.LONG64_CPL3,
            )
        for pages, rounds in TIMED.items():
            parameters = {**where, "pages": pages, "rounds": rounds}
            yield Experiment(
                litmus_standin_cost.NAME,
                parameters,
                "q2.jsonl",
                timed,
                measure_cost,
                shows=("t2.3",),
            )


def measure_standin(parameters: Mapping[str, Any]) -> Measured:
    """Switch a stand-in off and on under a guest of this host; NotRunError when it cannot."""
    from .abi.policy import HostPolicy
    from .host.describe import describe

    host, context = describe(), Context(parameters["context"])
    api, access = parameters["api"], Access(parameters["access"])
    answer = litmus_standins.run(api, access, context, parameters["rounds"], host.label)
    path = "page tables" if context in HostPolicy.of(host.module).native_contexts else "emulator"
    wanted = litmus_standins.expected(api, access, path)
    # Of what is stopped or held up nothing is expected where nothing was expected to be so.
    words = {check: one.word for check, one in wanted.items()}
    checks = {
        check.value: {
            **_counts(verdict),
            "expected": words.get(check, Word.DOES_NOT_APPLY).value,
        }
        for check, verdict in answer.verdicts.items()
    }
    met = {"exits": dict(answer.exits), "failures": dict(answer.failures)}
    return Measured({"checks": checks, **met}, answer.samples)


def measure_cost(parameters: Mapping[str, Any]) -> Measured:
    """Time a stand-in of this host beside DELETE and CREATE; NotRunError when it cannot."""
    context = Context(parameters["context"])
    given = (parameters["api"], context, parameters["pages"], parameters["rounds"])
    samples = litmus_standin_cost.cost(*given)
    return Measured(asdict(litmus_standin_cost.Ratios.of(samples)), samples)


def recall_standin(record: Record) -> dict[litmus_standins.Check, Verdict]:
    """Return the verdicts that a record of a stand-in holds."""
    host, checks = host_label(record), record.result["checks"]
    return {litmus_standins.Check(name): sampled(one, host) for name, one in checks.items()}


def _costs() -> Iterator[Experiment]:
    """What an update costs. What is expected, and why, the claims say that name the experiment."""
    for one in PLAN:
        measure = _measures(one.name)
        given = (one.name, one.parameters, "q2.jsonl", one.code, measure)
        yield Experiment(*given, shows=one.shows, quick=one.quick)


def _measures(name: str) -> Callable[[Mapping[str, Any]], Measured]:
    return lambda given: measure_costs(name, given)


def measure_costs(name: str, parameters: Mapping[str, Any]) -> Measured:
    """Measure what an update costs on this host; NotRunError when it cannot be.

    The result holds what the samples say of claims, or their medians where no claim asks.
    """
    from .host.describe import describe

    measurement = MEASUREMENTS[name]
    samples = measurement.measure(parameters)
    found = measurement.found(parameters, samples, describe().label)
    if not found:
        taken = medians(samples).items()
        short = {f"{name}: {what}": ns for name, said in taken for what, ns in said.items()}
        return Measured(short, samples)
    result = {f"{row}: {asked}": _counts(verdict) for (asked, row), verdict in found.items()}
    return Measured(result, samples)


def recall_checks(record: Record) -> dict[Check, Verdict]:
    """Return the verdicts that a record of ``litmus_stores`` holds."""
    host = host_label(record)
    return {Check(name): sampled(found, host) for name, found in record.result.items()}


def _counts(verdict: Verdict) -> dict[str, Any]:
    """Return what a record keeps of a sample; NotRunError when there was none."""
    if verdict.word is Word.NOT_RUN:
        raise NotRunError(verdict.reason)
    return {
        "word": verdict.word.value,
        "hits": verdict.hits,
        "trials": verdict.trials,
        "opportunities": verdict.opportunities,
    }


def _race(
    name: str,
    api: str,
    context: Context,
    method: Method,
    updates: int,
    file: str = "q0.jsonl",
) -> Experiment:
    parameters = {
        "api": api,
        "context": context.value,
        "method": method.value,
        "property": Property.SERVED.value,
        "updates": updates,
    }
    return Experiment(
        name,
        parameters,
        file,
        code=("memslotlib.litmus_host",),
        measure=lambda given: measure_race(name, given),
        shows=("t4.4",) if file == "q4.jsonl" else (SHOWN_IN[method],),
        quick=context in HELD_CONTEXTS and updates < MOVE_UPDATES,
    )


def measure_race(name: str, parameters: Mapping[str, Any]) -> Measured:
    """Put one litmus test to this host; NotRunError when the host cannot run it."""
    from .host.describe import describe

    host = describe()
    runner = HostRunner(
        host.label, Method(parameters["method"]), parameters["updates"], host.out_of_tree
    )
    run = runner.run(
        litmus.get(name),
        Property(parameters["property"]),
        parameters["api"],
        Context(parameters["context"]),
    )
    return Measured({**_counts(run.verdict), "exits": dict(run.exits)}, run.samples)


def recall(record: Record) -> Run:
    """Return the run of a litmus test that a record holds."""
    parameters, result = record.parameters, record.result
    return Run(
        record.experiment,
        Property(parameters["property"]),
        parameters["api"],
        Context(parameters["context"]),
        recalled(record),
        result["exits"],
        record.samples,
    )


def sampled(result: Mapping[str, Any], host: str) -> Verdict:
    """Return the verdict that counts of a record stand for.

    Raises KeyError for a count that is not there, ValueError for a word that no host may say, and
    VacuousError for counts that its word cannot have.
    """
    word = Word(result["word"])
    if word is Word.NOT_RUN:
        return Verdict.not_run(result["reason"])
    if word not in HOST_WORDS:
        raise ValueError(f"{word.value} is no word of a host")
    hits, trials, opportunities = result["hits"], result["trials"], result["opportunities"]
    if word is Word.SEEN:
        return Verdict.seen(hits, trials, host=host, opportunities=opportunities)
    if hits:
        raise VacuousError(f"{word.value}, but {hits} hits")
    return Verdict.not_seen(trials, opportunities=opportunities, host=host)


def host_label(record: Record) -> str:
    """Return how verdicts name the host of a record: its kernel and its module."""
    host = record.provenance.host
    tree = " (out-of-tree)" if host["out_of_tree"] else ""
    return f"Linux {host['kernel']}, {host['module'] or 'no KVM module'}{tree}"
