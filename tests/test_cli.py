import pytest

from memslotlib import cli, evidence, experiments, recheck
from memslotlib.errors import NotRunError
from memslotlib.experiment import Experiment, Measured


@pytest.fixture
def few(monkeypatch):
    """Two experiments that need no host, and one that this host lacks something for."""

    def lacking(_):
        raise NotRunError("/dev/kvm: absent")

    code = ("memslotlib.verdict",)
    made = [
        Experiment("one", {"n": 1}, "a.jsonl", code, lambda p: Measured({"n": p["n"]}, {})),
        Experiment("two", {"n": 2}, "a.jsonl", code, lambda p: Measured({"n": p["n"]}, {})),
        Experiment("three", {}, "b.jsonl", code, lacking),
    ]
    monkeypatch.setattr(experiments, "experiments", lambda: made)


def test_recording_tells_each_result_and_what_was_not_run(few, tmp_path, capsys):
    assert cli.main(["evidence", "record", "--into", str(tmp_path)]) == 0

    told = capsys.readouterr().out.splitlines()
    assert told == ["one (1): n 1", "two (2): n 2", "three (): NOT RUN: /dev/kvm: absent"]
    assert [r.experiment for r in evidence.read(tmp_path / "a.jsonl")] == ["one", "two"]
    assert not (tmp_path / "b.jsonl").exists()


def test_only_the_chosen_experiments_are_recorded(few, tmp_path, capsys):
    assert cli.main(["evidence", "record", "--only", "two", "--into", str(tmp_path)]) == 0
    assert [r.experiment for r in evidence.read(tmp_path / "a.jsonl")] == ["two"]

    assert cli.main(["evidence", "record", "--only", "none", "--into", str(tmp_path)]) == 2
    assert "no experiment's name holds 'none'" in capsys.readouterr().err


def test_showing_lists_every_record_and_refuses_a_damaged_one(few, tmp_path, capsys):
    cli.main(["evidence", "record", "--into", str(tmp_path)])
    capsys.readouterr()

    assert cli.main(["evidence", "show", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "a.jsonl:1  20" in told
    assert "{'n': 2}: n 2" in told

    (tmp_path / "a.jsonl").write_text("{}\n")
    assert cli.main(["evidence", "show", str(tmp_path)]) == 2
    assert "a.jsonl:1: its digest is None" in capsys.readouterr().err


def test_a_folder_without_records_and_one_that_cannot_be_written_are_named(few, tmp_path, capsys):
    assert cli.main(["evidence", "show", str(tmp_path)]) == 2
    assert f"{tmp_path}: no records" in capsys.readouterr().err

    (tmp_path / "file").touch()
    assert cli.main(["evidence", "record", "--into", str(tmp_path / "file" / "in")]) == 2
    assert capsys.readouterr().err.startswith("memslots: [Errno 20] Not a directory:")


@pytest.mark.parametrize("updates", ["0", "-5", "some"])
def test_a_number_of_updates_that_is_none_is_refused(updates, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["run", "delete-create+load", "--updates", updates])
    assert caught.value.code == 2
    assert updates in capsys.readouterr().err


def test_interrupted_by_the_user_it_says_so(few, tmp_path, capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(experiments, "experiments", interrupted)
    assert cli.main(["evidence", "record", "--into", str(tmp_path)]) == 130
    assert "nothing half-written" in capsys.readouterr().err


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
