"""A recorder that is killed at random instants leaves whole records, and nobody running."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memslotlib import evidence

ROOT = Path(__file__).resolve().parents[1]


def killed(folder, *arguments):
    program = [sys.executable, str(Path(__file__).with_name("killed.py")), str(folder)]
    done = subprocess.run(
        [*program, *arguments], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_200_kills_leave_no_damaged_record_no_process_and_nothing_recorded_twice(tmp_path):
    told = killed(tmp_path, "--kills", "200", "--seed", "1", "--within", "0.15")

    assert told["kills"] == told["at_work"] == 200
    assert told["damaged"] == []
    assert told["processes"] == []
    assert told["twice"] == 0
    # The kills met it at work: between two records, and while one was being written.
    assert told["recorded"] > 20
    assert told["half_written"] > 0


@pytest.mark.slow
def test_a_recorder_that_writes_in_place_is_caught(tmp_path):
    told = killed(tmp_path, "--kills", "200", "--seed", "1", "--within", "0.15", "--naive")

    assert told["damaged"]


@pytest.mark.slow
@pytest.mark.needs_kvm
def test_kills_while_a_guest_runs_leave_no_damaged_record_and_no_process(tmp_path):
    told = killed(
        tmp_path, "--kills", "12", "--seed", "2", "--within", "1", "--real", "delete-create+fetch"
    )

    assert told["kills"] == told["at_work"] == 12
    assert (told["damaged"], told["processes"], told["twice"]) == ([], [], 0)
    assert told["recorded"] > 3


@pytest.mark.needs_kvm
def test_ctrl_c_leaves_whole_records_and_tells_how_to_go_on(tmp_path):
    file = tmp_path / "mine.jsonl"
    command = [sys.executable, "-m", "memslotlib.cli", "evidence", "record", "--out", str(file)]
    with subprocess.Popen(
        [*command, "delete-create+fetch"],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background has children that ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as recorder:
        deadline = time.monotonic() + 60
        while len(evidence.read(file)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        recorder.send_signal(signal.SIGINT)
        out, err = recorder.communicate(timeout=60)

    assert recorder.returncode == 130
    assert out.endswith("The same command with --resume goes on.\n")
    assert "nothing half-written" in err
    assert len(evidence.read(file)) >= 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]
