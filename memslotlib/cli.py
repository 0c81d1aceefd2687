"""``memslots``: run a litmus test, list or check the claims, and the evidence."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from . import claims, cli_evidence, evidence, experiments, litmus, litmus_model, recheck
from .abi import SimVm
from .errors import MemslotError
from .interface import Context
from .litmus import Property, Run, Runner
from .protocol.properties import stated
from .provenance import ROOT
from .views.cpu_table import cpu_table

CLAIMS = ROOT / "book" / "claims"
#: The exit status where the reader went away: what a shell tells of a command that SIGPIPE ends.
READER_GONE = 128 + signal.SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 when it did what was asked, 2 for a bad request.

    What this host cannot run is told as NOT RUN and is no failure. A command whose reader goes
    away, as ``head`` does, ends without a word.
    """
    try:
        try:
            options = _parser().parse_args(arguments)
            return int(options.command(options))
        finally:
            # Here: what the interpreter's end cannot write nobody could catch.
            print(end="", flush=True)
    except BrokenPipeError:
        _forget_output()
        return READER_GONE
    except (MemslotError, OSError) as error:
        print(f"memslots: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("memslots: interrupted; nothing half-written", file=sys.stderr)
        return 130


def _forget_output() -> None:
    """Let what is still to be written go nowhere: the interpreter writes it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="memslots", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run one litmus test on the simulator and on this host")
    known = sorted({*litmus.TESTS, *litmus_model.ALL_SCENES})
    run.add_argument("litmus", choices=known, metavar="LITMUS", help=", ".join(known))
    run.add_argument("--api", default="today", help="how the slots are changed")
    run.add_argument("--policy", default="x86", choices=sorted(litmus_model.POLICIES))
    run.add_argument(
        "--context", default=Context.LONG64_CPL3.value, choices=[c.value for c in Context]
    )
    run.add_argument("--updates", type=_positive, default=experiments.UPDATES)
    run.set_defaults(command=_run)

    listing = commands.add_parser("claims", help="list the claims, or run them again")
    listing.add_argument("ids", nargs="*", metavar="ID", help="only these claims: Q5.2, or Q5")
    what = listing.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="what each expects; the default")
    what.add_argument(
        "--check", action="store_true", help="run them on the model; the exit status tells"
    )
    what.add_argument("--record", action="store_true", help="run them, and record what it says")
    listing.add_argument("--into", type=Path, default=evidence.DATA, help="folder of the records")
    listing.set_defaults(command=_claims)

    cli_evidence.add_to(commands)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def _run(options: argparse.Namespace) -> int:
    if options.litmus in litmus_model.ALL_SCENES:
        return _run_scene(options)
    from .host.describe import describe
    from .litmus_host import HostRunner, Method

    test = litmus.get(options.litmus)
    context = Context(options.context)
    one_ioctl = len(test.update(options.api)) == 1
    method = Method.OVERLAP if one_ioctl else Method.RENDEZVOUS
    host = describe()
    runners: list[tuple[str, Runner]] = [
        ("simulator", litmus.BoundaryRunner(SimVm)),
        (host.label, HostRunner(host.label, method, options.updates, host.out_of_tree)),
    ]
    for name, runner in runners:
        _print_run(name, runner.run(test, Property.SERVED, options.api, context))
    return 0


def _run_scene(options: argparse.Namespace) -> int:
    run = litmus_model.explored(options.litmus, options.api, options.policy, traces=True)
    if run.result is None:
        print(f"model: DOES NOT APPLY: {run.refusal}")
        return 0
    print(run.result)
    for identity in run.violated:
        print(f"\n{cpu_table(run.result.trace(stated(identity).name))}")
    return 0


def _print_run(name: str, run: Run) -> None:
    verdict = run.verdict
    exits = ", ".join(f"{reason} {count:,}" for reason, count in run.exits.items())
    print(f"{name}: {verdict.text}{f' ({exits})' if exits else ''}")
    for line in (verdict.reason, verdict.bound, *verdict.trace):
        if line:
            print(f"  {line}")


def _claims(options: argparse.Namespace) -> int:
    chosen = [one for one in claims.load(CLAIMS).values() if _is_chosen(one.id, options.ids)]
    if not chosen:
        raise MemslotError(f"no claim is called {' or '.join(options.ids)}")
    if options.check:
        return _check(chosen)
    if options.record:
        return _record_claims(chosen, options.into)
    for claim in chosen:
        print(f"{claim.id}  {claim.title}  [{claim.litmus}, {claim.keeps}]")
        for one in claim.expect:
            print(f"    {one.name}: model {one.model.value}, host {one.host.value}")
    return 0


def _is_chosen(identity: str, wanted: Sequence[str]) -> bool:
    question = identity.split(".")[0]
    return not wanted or any(one.upper() in (identity, question) for one in wanted)


def _check(chosen: Sequence[claims.Claim]) -> int:
    """Run the claims again; 1 when one of them is not as it says."""
    found = []
    for claim in chosen:
        for cell in recheck.check(claim):
            found.append(cell)
            print(cell.line, flush=True)
    bad = sum(not cell.is_as_expected for cell in found)
    print(f"{len(chosen)} claims, {len(found)} cells, {bad} not as expected")
    return int(bad > 0)


def _record_claims(chosen: Sequence[claims.Claim], folder: Path) -> int:
    for claim in chosen:
        if claim.is_modelled:
            made = recheck.record(claim)
            evidence.append(folder / recheck.FILE, made)
            print(f"{claim.id}: {len(recheck.cells(made))} cells recorded", flush=True)
    if len(chosen) == len(claims.load(CLAIMS)):
        evidence.append(folder / recheck.FILE, recheck.record_coverage(chosen))
        print("every line that never ran: recorded", flush=True)
        evidence.append(folder / recheck.FILE, recheck.record_left_out(chosen))
        print("what smaller bounds leave out: recorded", flush=True)
    if any(claim.question == "Q5" for claim in chosen):
        evidence.append(folder / recheck.FILE, recheck.record_orders())
        print("every order of the steps without a pause: recorded", flush=True)
    if {claim.id for claim in chosen} >= set(recheck.HEADLINE):
        evidence.append(folder / recheck.FILE, recheck.record_mutants())
        print("every mutant of the sound protocols: recorded", flush=True)
        evidence.append(folder / recheck.FILE, recheck.record_headline(chosen))
        print(f"beyond their bound, {', '.join(recheck.HEADLINE)}: recorded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
