"""``memslots``: run a litmus test, record evidence, list the claims."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import claims, evidence, experiments, litmus
from .abi import SimVm
from .errors import MemslotError, NotRunError
from .interface import Context
from .litmus import Property, Run, Runner
from .provenance import ROOT

CLAIMS = ROOT / "book" / "claims"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 when it did what was asked, 2 for a bad request.

    What this host cannot run is told as NOT RUN and is no failure.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except (MemslotError, OSError) as error:
        print(f"memslots: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("memslots: interrupted; nothing half-written", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="memslots", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run one litmus test on the simulator and on this host")
    run.add_argument("litmus", choices=sorted(litmus.TESTS))
    run.add_argument("--api", default="today", choices=sorted(litmus.UPDATES))
    run.add_argument(
        "--context", default=Context.LONG64_CPL3.value, choices=[c.value for c in Context]
    )
    run.add_argument("--updates", type=_positive, default=experiments.UPDATES)
    run.set_defaults(command=_run)

    listing = commands.add_parser("claims", help="list the claims and what they expect")
    listing.set_defaults(command=_claims)

    records = commands.add_parser("evidence", help="record experiments, show records")
    actions = records.add_subparsers(required=True, metavar="ACTION")
    record = actions.add_parser("record", help="run the experiments on this host and record them")
    record.add_argument("--only", default="", help="only experiments whose name holds this text")
    record.add_argument("--into", type=Path, default=evidence.DATA, help="folder of the records")
    record.set_defaults(command=_record)
    show = actions.add_parser("show", help="list the records of a folder")
    show.add_argument("folder", type=Path, nargs="?", default=evidence.DATA)
    show.set_defaults(command=_show)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def _run(options: argparse.Namespace) -> int:
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


def _print_run(name: str, run: Run) -> None:
    verdict = run.verdict
    exits = ", ".join(f"{reason} {count:,}" for reason, count in run.exits.items())
    print(f"{name}: {verdict.text}{f' ({exits})' if exits else ''}")
    for line in (verdict.reason, verdict.bound, *verdict.trace):
        if line:
            print(f"  {line}")


def _claims(options: argparse.Namespace) -> int:
    for claim in claims.load(CLAIMS).values():
        print(f"{claim.id}  {claim.title}  [{claim.litmus}, {claim.keeps}]")
        for one in claim.expect:
            print(f"    {one.api}: model {one.model.value}, host {one.host.value}")
    return 0


def _record(options: argparse.Namespace) -> int:
    chosen = [e for e in experiments.experiments() if options.only in e.label]
    if not chosen:
        raise MemslotError(f"no experiment's name holds {options.only!r}")
    for experiment in chosen:
        try:
            made = experiment.record(options.into)
        except NotRunError as error:
            print(f"{experiment.label}: NOT RUN: {error}")
        else:
            print(f"{experiment.label}: {made.summary}", flush=True)
    return 0


def _show(options: argparse.Namespace) -> int:
    paths = sorted(options.folder.glob("*.jsonl"))
    if not paths:
        raise MemslotError(f"{options.folder}: no records (*.jsonl) here")
    for path in paths:
        for number, record in enumerate(evidence.read(path), 1):
            print(f"{path.name}:{number}  {record.provenance.date}  {record.experiment}")
            print(f"    {dict(record.parameters)}: {record.summary}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
