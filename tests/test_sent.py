"""Records that somebody sent: whole lines only, nothing that no run can say, no path of theirs."""

import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import made_hosts
import pytest
from made_hosts import ASKED, LACKING, PVM, STOCK, capabilities, found, made, not_run, word

from memslotlib import evidence, hosts, sent
from memslotlib.errors import MemslotError
from memslotlib.evidence import EvidenceError, append, read
from memslotlib.experiment import HOST, NOT_RUN
from memslotlib.sent import accept, find, read_sent
from memslotlib.verdict import Word
from memslotlib.views import hosts as views

RACE = ASKED[0]


@pytest.fixture
def mail(tmp_path):
    """A file as a stranger sends it."""
    path = tmp_path / "mail" / "mine.jsonl"
    append(path, *made_hosts.records(STOCK))
    return path


@pytest.fixture
def data(tmp_path):
    """A folder of records that is there already."""
    append(tmp_path / "data" / "q0.jsonl", *made_hosts.records(PVM))
    return tmp_path / "data"


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_was_sent_is_stored_line_for_line_with_where_it_comes_from(mail, data):
    accepted = accept(mail, "message-id x@example.org", data)

    identity = made_hosts.stock().id
    assert dict(accepted.new) == {identity: 8}
    assert accepted.known == 0
    assert files(data) == [f"imported/{identity}.jsonl", "imports.jsonl", "q0.jsonl"]
    assert (data / "imported" / f"{identity}.jsonl").read_bytes() == mail.read_bytes()
    own, stranger = hosts.hosts(data)
    assert own.origin == ""
    assert stranger.origin.startswith("message-id x@example.org, 20")
    assert stranger.records == made_hosts.stock().records


def test_without_a_word_it_comes_from_its_file(mail, data):
    accept(mail, folder=data)
    (mark,) = read(data / "imports.jsonl")
    assert mark.parameters["from"] == "mine.jsonl"
    assert len(mark.parameters["sha256"]) == 64


def test_a_missing_part_of_an_imported_host_reads_not_run_with_the_capability(mail, data):
    accept(mail, folder=data)
    stranger = hosts.hosts(data)[1]
    (answer,) = stranger.found(ASKED[-1].name, ASKED[-1].parameters).values()
    assert (answer.word, answer.reason) == (Word.NOT_RUN, LACKING)


def test_what_is_there_already_is_not_stored_again(mail, data):
    accept(mail, folder=data)
    before = {name: (data / name).read_bytes() for name in files(data)}

    again = accept(mail, folder=data)

    assert (dict(again.new), again.known) == ({}, 8)
    assert {name: (data / name).read_bytes() for name in files(data)} == before

    more = dataclasses.replace(found(RACE, STOCK), code="c0df")
    append(mail, more, more, found(RACE, PVM))
    third = accept(mail, folder=data)
    assert (dict(third.new), third.known) == ({made_hosts.stock().id: 1}, 10)


def test_the_digest_of_an_import_is_of_the_bytes_that_were_accepted(mail, data, monkeypatch):
    sent_bytes, parsed = mail.read_bytes(), evidence.parsed

    def changes_meanwhile(text, name):
        if name == mail.name:
            mail.write_bytes(b"another")
        return parsed(text, name)

    monkeypatch.setattr(evidence, "parsed", changes_meanwhile)
    accept(mail, folder=data)
    (mark,) = read(data / "imports.jsonl")
    assert mark.parameters["sha256"] == hashlib.sha256(sent_bytes).hexdigest()


def test_records_of_two_hosts_go_into_two_files(mail, data):
    other = {**STOCK, "kernel": "6.12.1", "microcode": "0x2"}
    append(mail, capabilities(other))
    assert len(accept(mail, folder=data).new) == 2
    assert len(list((data / "imported").iterdir())) == 2


def test_every_damaged_line_is_named_and_nothing_is_stored(mail, data):
    lines = mail.read_text().splitlines()
    lines[1] = lines[1].replace("300", "301", 1)
    lines[3] = lines[3][:-1]
    mail.write_text("\n".join(lines) + "\n{")

    with pytest.raises(EvidenceError) as caught:
        accept(mail, folder=data)

    named = [line.split(": ")[0] for line in str(caught.value).splitlines()]
    assert named == ["mine.jsonl:2", "mine.jsonl:4", "mine.jsonl:9"]
    assert files(data) == ["q0.jsonl"]


def host(**facts):
    return {**STOCK, **facts}


def loaded(*load):
    """A record of a host whose load is something else."""
    record = made("x", {}, {}, STOCK)
    provenance = dataclasses.replace(record.provenance, load=list(load))
    return dataclasses.replace(record, provenance=provenance)


def test_a_host_may_say_nothing_of_its_load(mail, data):
    record = made("x", {}, {}, STOCK)
    provenance = dataclasses.replace(record.provenance, load=None)
    append(mail, dataclasses.replace(record, provenance=provenance), loaded())
    accept(mail, folder=data)
    assert views.heading(hosts.hosts(data)[1])


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (made("x", {}, {"word": "SEEN"}, STOCK), "its result is none of 'x': 'hits'"),
        (made("x", {}, {**word(3, 2)}, STOCK), "3 of 2 is no sighting"),
        (made("x", {}, {**word(0, 9), "trials": "9"}, STOCK), "its result is none of 'x'"),
        (made("x", {}, {**word(0, 9), "trials": 10**400}, STOCK), "its result is none of 'x'"),
        (made("x", {}, {"I2": {"word": "HOLDS"}}, STOCK), "HOLDS is no word of a host"),
        (made("x", {}, {**word(2, 2), "hits": 1.5}, STOCK), "1.5 is no int"),
        (made("x", {}, {"I2": {**word(1, 2), "hits": True}}, STOCK), "True is no int"),
        (made("x", {}, {**word(1, 2), "opportunities": 0.5}, STOCK), "0.5 is no int"),
        (made("stand-in", {}, {"checks": {"hole": {"word": "HOLDS"}}}, STOCK), "HOLDS is no word"),
        (loaded("a"), "its load is no numbers: ['a']"),
        (loaded({}), "its load is no numbers"),
        (loaded(10**400), "its load is no numbers"),
        (made("x", {}, {}, host(module=["kvm_amd"])), "its host's module is no str"),
        (made("x", {}, {}, host(out_of_tree="no")), "its host's out_of_tree is no bool"),
        (made(HOST, {}, {"missing": ""}, STOCK), "its result is none of 'host'"),
        (made(HOST, {}, {"missing": "", "capabilities": []}, STOCK), "its result is none of"),
        (made(HOST, {}, {"missing": "", "capabilities": {"A": "1"}}, STOCK), "'1' is no int"),
        (made(NOT_RUN, {"experiment": "x"}, {"reason": "y"}, STOCK), "'parameters'"),
        (made(NOT_RUN, {"experiment": 1, "parameters": {}}, {"reason": "y"}, STOCK), "1 is no str"),
        (made(hosts.IMPORT, {"from": "me"}, {"hosts": {}}, STOCK), "an import tells of"),
    ],
)
def test_a_whole_line_that_no_run_can_have_made_is_refused(mail, data, record, says):
    append(mail, record)
    with pytest.raises(EvidenceError, match="mine.jsonl:9: ") as caught:
        accept(mail, folder=data)
    assert says in str(caught.value)
    assert files(data) == ["q0.jsonl"]


EVIL = "../../../../../../../../tmp/evil"


@pytest.fixture
def watched():
    """What this interpreter opens, compiles, imports and starts that names something evil."""
    heard, is_on = [], [True]

    def hear(event, arguments):
        if is_on and "evil" in repr(arguments) and event.split(".")[0] in _HEARD:
            heard.append((event, arguments))

    # No hook can be taken back, so this one is told when to stop.
    sys.addaudithook(hear)
    yield heard
    is_on.clear()


_HEARD = {"open", "exec", "compile", "import", "os", "subprocess", "glob", "shutil"}


def test_nothing_of_a_record_is_a_path_or_runs(mail, data, tmp_path, watched):
    evil = host(kernel=EVIL, module=EVIL, cpu="$(touch evil)")
    asked = {"modules": [EVIL], "file": EVIL, "code": "__import__('evil')"}
    named = dataclasses.replace(made(EVIL, asked, {"x": EVIL}, evil, s=EVIL), code=EVIL)
    append(mail, named, not_run(RACE, evil, EVIL), capabilities(evil, **{EVIL: 1}))

    accept(mail, EVIL, data)
    for one in hosts.hosts(data):
        assert hosts.compare(one, made_hosts.pvm())
        assert isinstance(one.is_stale(EVIL, asked), bool)
        assert views.records(one).html

    assert watched == []
    stored = files(data)
    assert all(set(Path(name).stem) <= set("0123456789abcdef") for name in stored[:2])
    assert files(tmp_path) == sorted([f"data/{name}" for name in stored] + ["mail/mine.jsonl"])
    with pytest.raises(FileNotFoundError):
        Path("evil").read_text()
    assert watched


def test_too_much_and_nothing_are_refused(mail, monkeypatch):
    mail.write_text("")
    with pytest.raises(MemslotError, match="mine.jsonl: no records here"):
        read_sent(mail)
    monkeypatch.setattr(sent, "SIZE_MAX_BYTES", 4)
    mail.write_text("12345")
    with pytest.raises(MemslotError, match="mine.jsonl: more than 4 bytes"):
        read_sent(mail)


def test_what_another_schema_wrote_is_refused(mail):
    body = json.loads(mail.read_text().splitlines()[0])
    body["schema"] = 2
    del body["digest"]
    mail.write_text(json.dumps({**body, "digest": evidence._digest(body)}) + "\n")
    with pytest.raises(EvidenceError, match="mine.jsonl:1: schema 2 is of a later version"):
        read_sent(mail)


def test_a_host_is_found_by_file_by_folder_or_by_the_start_of_its_id(mail, data, monkeypatch):
    monkeypatch.chdir(data)
    assert find(str(mail)).origin == "mine.jsonl"
    assert find(str(data)).id == made_hosts.pvm().id
    assert find(made_hosts.pvm().id[:3], data).id == made_hosts.pvm().id


def test_a_host_that_is_not_one_is_refused_with_the_choices(mail, data):
    with pytest.raises(MemslotError, match="^nowhere: no file or folder here, and no") as caught:
        find("nowhere", data)
    assert "; there are 119494e1: Linux" in str(caught.value)
    append(mail, found(RACE, PVM))
    with pytest.raises(MemslotError, match="mine.jsonl: 2 hosts in this file, which have to be"):
        find(str(mail), data)
    with pytest.raises(MemslotError, match="there are none$"):
        find("nowhere", data / "none")


def test_of_one_host_recorded_here_and_sent_the_sender_is_told(mail, data):
    mail.unlink()
    append(mail, dataclasses.replace(found(RACE, PVM), code="c0df"))
    accept(mail, "a friend", data)
    identity = made_hosts.pvm().id
    with pytest.raises(MemslotError, match="2 hosts whose ids begin so") as caught:
        find(identity, data)
    assert str(caught.value).count(f"{identity}: Linux") == 2
    assert str(caught.value).count(", from a friend, 20") == 1
    assert find(str(sent.stored(identity, data)), data).id == identity


def test_an_import_that_was_stopped_is_made_again(mail, data, monkeypatch):
    """Whatever is stored has where it comes from, and what is not is not called known."""
    whole, calls = evidence.append, []

    def stopped(path, *records):
        calls.append(path.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        whole(path, *records)

    with monkeypatch.context() as patched:
        patched.setattr(evidence, "append", stopped)
        with pytest.raises(KeyboardInterrupt):
            accept(mail, "a friend", data)
    assert calls[0] == hosts.IMPORTS_FILE
    assert len(hosts.hosts(data)) == 1

    assert dict(accept(mail, "a friend", data).new) == {made_hosts.stock().id: 8}
    assert hosts.hosts(data)[1].origin.startswith("a friend, 20")
