"""Records that never were: of a stock host that can all, and of one that lacks what others have."""

from memslotlib.evidence import Record
from memslotlib.experiment import HOST, NOT_RUN
from memslotlib.experiments import experiments
from memslotlib.hosts import by_host
from memslotlib.provenance import Provenance

PVM = {
    "kernel": "6.18.44",
    "module": "kvm_pvm",
    "out_of_tree": True,
    "parameters": {"kvm.tdp_mmu": "N"},
    "cpu": "AMD EPYC",
    "vendor": "AuthenticAMD",
    "microcode": "0x1000065",
    "cpus": 2,
    "nested": True,
    "kvm": "",
}
STOCK = {
    **PVM,
    "kernel": "6.12.1",
    "module": "kvm_intel",
    "out_of_tree": False,
    "parameters": {"kvm.tdp_mmu": "Y", "kvm_intel.ept": "Y"},
    "cpu": "Intel Xeon",
    "vendor": "GenuineIntel",
    "cpus": 8,
    "nested": False,
}
DATES = {PVM["kernel"]: "2026-11-27T10:00:00+00:00", STOCK["kernel"]: "2026-11-28T09:00:00+00:00"}
LACKING = "/dev/kvm: lacks KVM_CAP_DIRTY_LOG_RING"
#: What both hosts were asked; the last cannot run on the stock one.
ASKED = [
    one
    for one in experiments()
    if (one.name, one.parameters.get("api"), one.parameters.get("context"))
    in [("delete-create+load", "move", "long64"), ("delete-create+fetch", "today", "real16")]
    or (one.name, one.parameters.get("api")) == ("hva-flip+store", "today")
    or one.name == "cases"
]


def made(experiment, parameters, result, host=PVM, code="c0de", **samples):
    """A record of a host; its code is that of nothing that there is."""
    date = DATES.get(host["kernel"], "2026-11-28T12:00:00+00:00")
    provenance = Provenance(
        *("c0ffee", False, "0.1.0", date, "3.11.7", "native", host),
        *("x86_64", [0.5, 0.4, 0.3], 1.5),
    )
    return Record(experiment, parameters, result, provenance, code, samples)


def word(hits, trials):
    """The counts of a verdict."""
    name = "SEEN" if hits else "NOT SEEN"
    return {"word": name, "hits": hits, "trials": trials, "opportunities": 9 * trials}


def capabilities(host, **caps):
    """The record with which a run begins."""
    return made(HOST, {}, {"missing": "", "capabilities": caps}, host)


def not_run(one, host, reason=LACKING):
    """The record of an experiment that could not run."""
    asked = {"experiment": one.name, "parameters": dict(one.parameters)}
    return made(NOT_RUN, asked, {"reason": reason}, host)


def found(one, host):
    """What an experiment came to: the emulator's hole on the one host, none on the other."""
    if one.name == "cases":
        result = {"cases": 448, "run": 444 if host is PVM else 448, "differ": []}
    elif one.name == "hva-flip+store":
        result = {"I2": word(0, 1500), "I3b": word(1490, 1500), "I4b": word(0, 1500)}
    elif one.parameters["api"] == "move":
        result = {**word(300 if host is PVM else 0, 300), "exits": {}}
    else:
        result = {**word(300, 300), "exits": {"internal_error": 300}}
    return made(one.name, one.parameters, result, host, s=[1, 2, 3])


def records(host):
    """A run on a host; the stock one lacks the last that it is asked for."""
    ran = ASKED if host is PVM else ASKED[:-1]
    caps = {"NR_MEMSLOTS": 32764, "DIRTY_LOG_RING": int(host is PVM), "READONLY_MEM": 1}
    rest = [not_run(one, host) for one in ASKED if one not in ran]
    return [capabilities(host, **caps), *(found(one, host) for one in ran), *rest]


def pvm(origin=""):
    """The out-of-tree host."""
    return by_host(records(PVM), origin)[0]


def stock(origin="message-id x@example.org"):
    """The stock host, whose records somebody sent."""
    return by_host(records(STOCK), origin)[0]
