"""``memslots evidence``: record experiments, show and import records, compare hosts."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from . import evidence, experiments, recording, sent
from .errors import MemslotError
from .hosts import hosts
from .recording import Forecast, Target
from .views import hosts as views

_FOLDER = "folder of the records"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of ``memslots``."""
    said = "record experiments, show records, import those of others, compare hosts"
    evidence_ = commands.add_parser("evidence", help=said)
    actions = evidence_.add_subparsers(required=True, metavar="ACTION")
    _add_record(actions.add_parser("record", help="run the experiments on this host, record them"))

    show = actions.add_parser("show", help="list what each host found")
    said = "a folder of records, or one file; the project's own by default"
    show.add_argument("path", type=Path, nargs="?", default=evidence.DATA, help=said)
    show.set_defaults(command=_show)

    take = actions.add_parser("import", help="take in a file of records that somebody sent")
    take.add_argument("file", type=Path, metavar="FILE")
    said = "where it comes from: a message-id, a name; the file's name by default"
    take.add_argument("--from", dest="source", default="", metavar="TEXT", help=said)
    take.add_argument("--into", type=Path, default=evidence.DATA, help=_FOLDER)
    take.set_defaults(command=_import)

    compare = actions.add_parser("compare", help="show where two hosts differ")
    said = "a file or folder of records of one host, or the start of a host's id"
    compare.add_argument("first", metavar="A", help=said)
    compare.add_argument("second", metavar="B", help="the same of the other")
    compare.set_defaults(command=_compare)


def _add_record(record: argparse.ArgumentParser) -> None:
    said = "only these: part of an experiment's name, or what it is about: Q0.5, Q5, T0.1"
    record.add_argument("names", nargs="*", metavar="NAME", help=said)
    record.add_argument("--quick", action="store_true", help="a choice of at most 5 minutes")
    record.add_argument("--resume", action="store_true", help="go on with the last run")
    where = record.add_mutually_exclusive_group()
    where.add_argument("--into", type=Path, default=evidence.DATA, help=_FOLDER)
    where.add_argument("--out", type=Path, help="one file for all of them, to be sent")
    record.set_defaults(command=_record)


def _record(options: argparse.Namespace) -> int:
    """Record; 1 when an experiment failed, which is no NOT RUN."""
    target = Target(options.out or options.into, is_one_file=options.out is not None)
    known = experiments.experiments()
    chosen = recording.chosen(known, options.names, quick=options.quick)
    if not chosen:
        raise MemslotError("none of these is a quick one; leave out --quick")
    waiting = chosen
    if options.resume:
        waiting = recording.waiting(chosen, target, recording.last_begun(target))
    else:
        recording.begin(target)
    forecast = Forecast.after(recording.earlier(target))
    _tell(f"{len(waiting)} of {len(chosen)} experiments to run, ")
    _tell(f"about {recording.duration(forecast.of(*waiting))}\n")
    limit_s = recording.QUICK_S if options.quick else math.inf
    try:
        tally = recording.run(waiting, target, forecast, _tell, limit_s)
    except KeyboardInterrupt:
        _tell("interrupted; what is recorded stays. The same command with --resume goes on.\n")
        raise
    _tell(f"{tally.text}: {target.path}\n")
    return int(tally.failed > 0)


def _tell(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _show(options: argparse.Namespace) -> int:
    path = options.path
    if not path.exists():
        raise MemslotError(f"{path}: no such file or folder")
    found = sent.hosts_of(path) if path.is_file() else hosts(path)
    if not found:
        raise MemslotError(f"{path}: no records (*.jsonl) here")
    for host in found:
        print(views.heading(host))
        print(views.records(host), end="\n\n")
    return 0


def _import(options: argparse.Namespace) -> int:
    accepted = sent.accept(options.file, options.source, options.into)
    for identity, new in accepted.new.items():
        print(f"{new} new records of host {identity}: {sent.stored(identity, options.into)}")
    print(f"{accepted.known} were known already")
    return 0


def _compare(options: argparse.Namespace) -> int:
    print(views.differences(sent.find(options.first), sent.find(options.second)))
    return 0
