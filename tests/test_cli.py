import os
import subprocess
import sys

import pytest

from memslotlib import cli, evidence, recheck


@pytest.mark.parametrize("updates", ["0", "-5", "some"])
def test_a_number_of_updates_that_is_none_is_refused(updates, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["run", "delete-create+load", "--updates", updates])
    assert caught.value.code == 2
    assert updates in capsys.readouterr().err


def test_interrupted_by_the_user_it_says_so(capsys, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.claims, "load", interrupted)
    assert cli.main(["claims"]) == 130
    assert "nothing half-written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "evidence --help",
        "claims",
        "claims --check Q0.1",
        "run delete-create+load --updates 5",
        "run split+load",
        "evidence show",
        "evidence record cost-harness --out mine.jsonl",
    ],
)
def test_a_command_whose_reader_goes_away_ends_without_a_word(arguments, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "memslotlib.cli", *arguments.split()],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(cli.ROOT), "PYTHONUNBUFFERED": ""},
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.stderr, done.returncode) == ("", cli.READER_GONE)


def test_claims_are_listed_with_what_they_expect(capsys):
    assert cli.main(["claims"]) == 0
    told = capsys.readouterr().out
    assert "Q0.1  A code fetch meets no hole  [delete-create+fetch, served]" in told
    assert "    today: model VIOLATED, host SEEN" in told


def test_a_litmus_test_runs_on_the_simulator_and_tells_of_the_host(capsys):
    assert cli.main(["run", "delete-create+fetch", "--context", "long64", "--updates", "5"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "simulator: VIOLATED (internal_error 1)"
    assert "  DELETE: internal_error" in told
    assert any(line.startswith("Linux ") for line in told)


def test_an_unknown_litmus_test_is_refused_with_the_choices(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["run", "delete-create+jump"])
    assert caught.value.code == 2
    assert "delete-create+fetch" in capsys.readouterr().err


def test_a_scene_runs_on_the_model_and_shows_the_trace_of_what_breaks(capsys):
    assert cli.main(["run", "split+load"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("split+load, today: ")
    assert "VIOLATED      never: I3a no hole where the page stays" in told
    assert "<-- BREAKS I3a" in told
    assert "replay " in told


def test_what_an_api_cannot_do_is_told_and_is_no_failure(capsys):
    assert cli.main(["run", "split+load", "--api", "move"]) == 0
    assert capsys.readouterr().out.startswith("model: DOES NOT APPLY: a move neither")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "split+load", "--api", "batch"], "no API 'batch'; there are today"),
        (["run", "delete-create+load", "--api", "batch"], "no API 'batch'; it knows today"),
        (["claims", "--check", "Q9.1"], "no claim is called Q9.1"),
    ],
)
def test_an_unknown_api_or_claim_lists_what_there_is(arguments, said, capsys):
    assert cli.main(arguments) == 2
    assert said in capsys.readouterr().err


def test_claims_are_run_again_and_the_exit_status_tells(capsys, monkeypatch):
    assert cli.main(["claims", "--check", "q0.1", "Q4.6"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-1].endswith(" 0 not as expected")
    assert any(line.startswith("ok   Q4.6 wholesale-swap on x86: VIOLATED") for line in told)

    monkeypatch.setattr(recheck.Checked, "is_as_expected", False)
    assert cli.main(["claims", "--check", "Q0.1"]) == 1


def test_recording_claims_writes_a_record_for_each_that_the_model_decides(tmp_path, capsys):
    assert cli.main(["claims", "--record", "Q0.1", "Q4.6", "--into", str(tmp_path)]) == 0
    (made,) = evidence.read(tmp_path / recheck.FILE)
    assert made.experiment == "claim-Q4.6"
    assert f"Q4.6: {len(recheck.cells(made))} cells recorded" in capsys.readouterr().out
