"""``memslots evidence``, as a person types it."""

import re

import made_hosts
import pytest
from made_hosts import PVM, STOCK

from memslotlib import cli, evidence, experiments, recording
from memslotlib.errors import MemslotError, NotRunError
from memslotlib.experiment import Experiment, Measured


def raising(error):
    def measure(_):
        raise error

    return measure


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Two experiments that need no host, and one that this host lacks something for."""
    code = ("memslotlib.verdict",)
    made = [
        Experiment("one", {"n": 1}, "a.jsonl", code, lambda p: Measured({"n": p["n"]}, {})),
        Experiment("two", {"n": 2}, "a.jsonl", code, lambda p: Measured({"n": 2}, {}), quick=True),
        Experiment("three", {}, "b.jsonl", code, raising(NotRunError("/dev/kvm: absent"))),
    ]
    monkeypatch.setattr(experiments, "experiments", lambda: made)
    monkeypatch.setattr(recording, "DATA", tmp_path / "none")
    return made


def record(*arguments):
    return cli.main(["evidence", "record", *map(str, arguments)])


def labels(path):
    return [one.label for one in evidence.read(path)]


def test_recording_tells_each_result_and_what_was_not_run(few, tmp_path, capsys):
    assert record("--into", tmp_path) == 0

    told = re.sub(r"\[.*? left\]", "[]", capsys.readouterr().out).splitlines()
    assert told == [
        "3 of 3 experiments to run, about 9 s",
        "1/3  one (1): n 1  []",
        "2/3  two (2): n 2  []",
        "3/3  three: NOT RUN: /dev/kvm: absent  []",
        f"2 recorded, 1 NOT RUN: {tmp_path}",
    ]
    assert labels(tmp_path / "a.jsonl") == ["one (1)", "two (2)"]
    assert [one.experiment for one in evidence.read(tmp_path / "hosts.jsonl")] == [
        "host",
        "not-run",
    ]
    assert not (tmp_path / "b.jsonl").exists()


def test_a_stranger_records_into_one_file(few, tmp_path):
    assert record("--out", tmp_path / "mine.jsonl") == 0
    kinds = [one.experiment for one in evidence.read(tmp_path / "mine.jsonl")]
    assert kinds == ["host", "one", "two", "not-run"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]


def test_only_the_chosen_or_the_quick_experiments_are_recorded(few, tmp_path, capsys):
    assert record("two", "--into", tmp_path) == 0
    assert labels(tmp_path / "a.jsonl") == ["two (2)"]
    assert record("--quick", "--into", tmp_path) == 0
    assert labels(tmp_path / "a.jsonl") == ["two (2)", "two (2)"]

    assert record("none", "--into", tmp_path) == 2
    assert "no experiment's name or claim is 'none'" in capsys.readouterr().err
    assert record("one", "--quick", "--into", tmp_path) == 2
    assert "none of these is a quick one" in capsys.readouterr().err


def test_an_interrupted_run_is_resumed_where_it_was_left(few, tmp_path, capsys):
    stopped = Experiment("two", {"n": 2}, "a.jsonl", few[1].code, raising(KeyboardInterrupt()))
    few[1], whole = stopped, few[1]
    assert record("--into", tmp_path) == 130
    out, err = capsys.readouterr()
    assert out.endswith(
        "2/3  two (2): interrupted; what is recorded stays. The same command with "
        "--resume goes on.\n"
    )
    assert "nothing half-written" in err
    assert labels(tmp_path / "a.jsonl") == ["one (1)"]

    few[1] = whole
    assert record("--resume", "--into", tmp_path) == 0
    assert capsys.readouterr().out.startswith("2 of 3 experiments to run")
    assert labels(tmp_path / "a.jsonl") == ["one (1)", "two (2)"]
    assert labels(tmp_path / "hosts.jsonl")[0] == "host"
    assert labels(tmp_path / "hosts.jsonl").count("host") == 1


def test_there_is_nothing_to_resume_where_nothing_began(few, tmp_path, capsys):
    assert record("--resume", "--into", tmp_path) == 2
    assert "nothing to resume" in capsys.readouterr().err


def test_a_failure_is_told_by_the_exit_status(few, tmp_path, capsys):
    few.append(Experiment("four", {}, "a.jsonl", few[0].code, raising(MemslotError("odd exit"))))
    assert record("--into", tmp_path) == 1
    told = capsys.readouterr().out
    assert "4/4  four: FAILED: MemslotError: odd exit" in told
    assert f"2 recorded, 1 NOT RUN, 1 FAILED: {tmp_path}" in told


def test_showing_lists_what_each_host_found_and_refuses_a_damaged_line(few, tmp_path, capsys):
    record("--into", tmp_path)
    capsys.readouterr()

    assert cli.main(["evidence", "show", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"two \(2\) +n 2\n", told)
    assert re.search(r"three +NOT RUN: /dev/kvm: absent\n", told)

    (tmp_path / "a.jsonl").write_text("{}\n")
    assert cli.main(["evidence", "show", str(tmp_path)]) == 2
    assert "a.jsonl:1: its digest is None" in capsys.readouterr().err


def test_a_folder_without_records_and_one_that_cannot_be_written_are_named(few, tmp_path, capsys):
    assert cli.main(["evidence", "show", str(tmp_path)]) == 2
    assert f"{tmp_path}: no records" in capsys.readouterr().err
    assert cli.main(["evidence", "show", str(tmp_path / "nowhere")]) == 2
    assert f"{tmp_path / 'nowhere'}: no such file or folder" in capsys.readouterr().err

    (tmp_path / "file").touch()
    assert record("--into", tmp_path / "file" / "in") == 2
    assert capsys.readouterr().err.startswith("memslots: [Errno 20] Not a directory:")


@pytest.fixture
def mail(tmp_path):
    path = tmp_path / "mine.jsonl"
    evidence.append(path, *made_hosts.records(STOCK))
    return path


def test_importing_tells_what_is_new_and_refuses_by_file_and_line(mail, tmp_path, capsys):
    command = ["evidence", "import", str(mail), "--from", "a mail", "--into", str(tmp_path / "d")]
    assert cli.main(command) == 0
    identity = made_hosts.stock().id
    stored = tmp_path / "d" / "imported" / f"{identity}.jsonl"
    assert capsys.readouterr().out == (
        f"8 new records of host {identity}: {stored}\n0 were known already\n"
    )
    assert cli.main(command) == 0
    assert capsys.readouterr().out == "8 were known already\n"

    mail.write_text(mail.read_text().replace("300", "301"))
    assert cli.main(command) == 2
    assert capsys.readouterr().err.startswith("memslots: mine.jsonl:2: its digest is")
    assert cli.main(["evidence", "import", str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl" in capsys.readouterr().err


def test_two_files_are_compared(mail, tmp_path, capsys):
    other = tmp_path / "other.jsonl"
    evidence.append(other, *made_hosts.records(PVM))
    assert cli.main(["evidence", "compare", str(other), str(mail)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"A is {made_hosts.pvm().id}: Linux 6.18.44, kvm_pvm (out-of-tree)")
    assert "\n11 checks, 8 the same.\n" in told
    assert cli.main(["evidence", "compare", "nowhere", str(mail)]) == 2
