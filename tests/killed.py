"""A recorder that is killed again and again, and what it leaves: told as one line of JSON.

Started as a program of its own, because it forks: the library is imported once, not for each kill.
``--real`` records on this host's KVM; ``--naive`` writes in place, as a recorder should not.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from memslotlib import cli, evidence, experiments, recording
from memslotlib.evidence import EvidenceError
from memslotlib.experiment import HOST, Experiment, Measured, host_facts
from memslotlib.provenance import code_digest

GONE_S = 5.0


def synthetic():
    """Return more experiments than are over when the last kill comes, in two files."""

    def measure(given):
        time.sleep(0.001)
        return Measured({"n": given["n"]}, {"samples": list(range(50))})

    code = ("memslotlib.verdict",)
    return [
        Experiment("synthetic", {"n": n}, f"{'ab'[n % 2]}.jsonl", code, measure) for n in range(400)
    ]


def write_in_place(path, text):
    """Write as it would be without a temporary file, and slowly enough to be met at it."""
    half = len(text) // 2
    with path.open("w", encoding="utf-8") as out:
        out.write(text[:half])
        out.flush()
        time.sleep(0.005)
        out.write(text[half:])


def record(folder):
    """Record in this process, resuming what was left; never return."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    resume = ["--resume"] * (folder / "hosts.jsonl").exists()
    os._exit(cli.main(["evidence", "record", *resume, "--into", str(folder)]))


def kill_one(folder, wait_s):
    """Start a recorder, kill it after a while, and tell whether it was still at it."""
    child = os.fork()
    if not child:
        record(folder)
    time.sleep(wait_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return child, os.WIFSIGNALED(status)


def left_of(session):
    """Return the processes of a session, once those that are ending have had time to."""
    deadline = time.monotonic() + GONE_S
    while (found := _of_session(session)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def _of_session(session):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (name) state ppid pgrp session: the name may hold anything.
            state, _, _, its = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(its) == session and state != "Z":
            found.append(path.parent.name)
    return found


def damaged(folder):
    """Return what the files hold that no reader takes."""
    try:
        for path in folder.glob("*.jsonl"):
            evidence.read(path)
    except EvidenceError as error:
        return str(error).splitlines()
    return []


def main():
    """Kill, look, tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--within", type=float, required=True, help="seconds")
    parser.add_argument("--real", metavar="NAME", default="")
    parser.add_argument("--naive", action="store_true")
    options = parser.parse_args()

    folder, rng = options.folder, random.Random(options.seed)
    known = experiments.experiments()
    made = recording.chosen(known, [options.real]) if options.real else synthetic()
    experiments.experiments = lambda: made
    # Nothing of the project's own has to be read to know how long these take, and no digest of
    # their code to be made in each child.
    recording.DATA = folder / "none"
    for one in (host_facts(), *made):
        code_digest(*one.code)
    if options.naive:
        evidence.write_whole = write_in_place

    told = {"kills": 0, "at_work": 0, "damaged": [], "processes": [], "half_written": 0}
    while told["kills"] < options.kills and not told["damaged"]:
        session, was_at_work = kill_one(folder, rng.uniform(0, options.within))
        told["kills"] += 1
        told["at_work"] += was_at_work
        told["processes"] += left_of(session)
        told["damaged"] += damaged(folder)
        told["half_written"] += any(folder.glob(".*.jsonl.*"))
    if not told["damaged"]:
        ran = [one.key for one in recording.records_in(folder) if one.experiment != HOST]
        told |= {"recorded": len(ran), "twice": len(ran) - len(set(ran))}
    print(json.dumps(told))


if __name__ == "__main__":
    sys.exit(main())
