import platform

import pytest

from memslotlib import evidence, experiment
from memslotlib.errors import NotRunError
from memslotlib.experiment import Experiment, Measured, host_facts
from memslotlib.provenance import code_digest

CODE = ("memslotlib.verdict",)


def test_a_record_names_its_host_its_code_and_reads_back(tmp_path):
    made = Experiment(
        "x",
        {"n": 2},
        "x.jsonl",
        ("memslotlib.verdict",),
        lambda p: Measured({"twice": 2 * p["n"]}, {}),
    ).record(tmp_path)

    assert evidence.read(tmp_path / "x.jsonl") == [made]
    assert made.result == {"twice": 4}
    assert made.code == code_digest("memslotlib.verdict")
    assert made.provenance.host["kernel"]


def test_what_cannot_run_leaves_no_record(tmp_path):
    def lacking(_):
        raise NotRunError("/dev/kvm: absent")

    with pytest.raises(NotRunError):
        Experiment("x", {}, "x.jsonl", ("memslotlib.verdict",), lacking).record(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_experiment_leaves_no_record(tmp_path):
    def interrupted(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Experiment("x", {}, "x.jsonl", ("memslotlib.verdict",), interrupted).record(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_record_tells_how_long_the_run_took(tmp_path):
    made = Experiment("x", {}, "x.jsonl", CODE, lambda _: Measured({}, {})).run()
    assert 0 <= made.provenance.seconds < 60
    assert made.provenance.machine == platform.machine()


def test_a_guest_of_another_architecture_is_not_run(monkeypatch):
    monkeypatch.setattr(experiment.platform, "machine", lambda: "aarch64")
    ran = Experiment("x", {}, "x.jsonl", CODE, lambda _: Measured({"n": 1}, {}))

    with pytest.raises(NotRunError, match="its guest is x86_64 code; this host is aarch64"):
        ran.run()
    assert host_facts().run().provenance.machine == "aarch64"


def test_why_it_could_not_run_is_a_record_of_its_own():
    one = Experiment("x", {"n": 2}, "x.jsonl", CODE, lambda _: Measured({}, {}))
    made = one.not_run("/dev/kvm:\n absent")

    assert made.experiment == experiment.NOT_RUN
    assert made.parameters == {"experiment": "x", "parameters": {"n": 2}}
    assert made.result == {"reason": "/dev/kvm: absent"}
    assert made.code == one.digest


@pytest.mark.needs_kvm
def test_the_facts_of_a_host_are_its_capabilities():
    result = host_facts().run().result
    assert result["missing"] == ""
    assert result["capabilities"]["USER_MEMORY"] == 1


def test_without_kvm_the_reason_takes_their_place(monkeypatch):
    from memslotlib.host import capabilities

    monkeypatch.setattr(capabilities, "missing", lambda: "/dev/kvm: absent")
    assert host_facts().run().result == {"missing": "/dev/kvm: absent", "capabilities": {}}
