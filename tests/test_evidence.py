import json
import multiprocessing

import pytest

from memslotlib import evidence
from memslotlib.evidence import EvidenceError, Record, append, newest, read
from memslotlib.provenance import Provenance

HERE = Provenance("abc", False, "0.1.0", "2026-11-23T00:00:00+00:00", "3.11.7", "native", {"k": 1})


def record(n=0, **parameters):
    return Record(
        "delete-create+fetch", parameters, {"hits": n}, HERE, code="c0de", samples={"s": [1]}
    )


def test_a_record_reads_back_as_it_was_written(tmp_path):
    path = tmp_path / "q0.jsonl"
    for n in range(3):
        append(path, record(n, updates=300))
    assert read(path) == [record(n, updates=300) for n in range(3)]
    assert [p.name for p in tmp_path.iterdir()] == ["q0.jsonl"]


def test_no_file_is_no_records(tmp_path):
    assert read(tmp_path / "none.jsonl") == []


def test_the_newest_record_of_an_experiment_is_chosen_by_its_parameters():
    records = [record(1, context="real16"), record(2, context="cpl3"), record(3, context="real16")]
    assert newest(records, "delete-create+fetch", context="real16").result == {"hits": 3}
    assert newest(records, "delete-create+fetch", context="cpl3").result == {"hits": 2}
    assert newest(records, "delete-create+load") is None
    assert newest(records, "delete-create+fetch", context="smm") is None


def test_a_record_is_stale_when_the_code_differs():
    assert not record().is_stale("c0de")
    assert record().is_stale("c0df")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda t: t[:-1], "q0.jsonl:2: the last line was cut"),
        (lambda t: t.replace('"hits":1', '"hits":9'), "q0.jsonl:2: its digest is"),
        (lambda t: t.replace('{"code"', '"code"', 1), "q0.jsonl:1: not JSON"),
        (lambda t: "[]\n" + t, "q0.jsonl:1: a record is a JSON object, not list"),
    ],
)
def test_a_damaged_line_is_named_and_refused(tmp_path, damage, says):
    path = tmp_path / "q0.jsonl"
    for n in range(2):
        append(path, record(n))
    path.write_text(damage(path.read_text()))
    with pytest.raises(EvidenceError, match=says):
        read(path)
    broken = path.read_text()
    with pytest.raises(EvidenceError, match=says):
        append(path, record(5))
    assert path.read_text() == broken


def test_every_damaged_line_is_named(tmp_path):
    path = tmp_path / "q0.jsonl"
    append(path, *(record(n) for n in range(4)))
    text = path.read_text().replace('"hits":1', '"hits":9').replace('"hits":3', '"hits":9')
    path.write_text(text[:-1])
    with pytest.raises(EvidenceError) as caught:
        read(path)
    named = [line.split(": ")[0] for line in str(caught.value).splitlines()]
    assert named == ["q0.jsonl:2", "q0.jsonl:4"]
    path.write_text(text + '{"code"')
    with pytest.raises(EvidenceError, match="q0.jsonl:5: the last line was cut"):
        read(path)


def line(change=lambda body: None, **dumped):
    """A line whose digest is right, whatever it says."""
    body = json.loads(record().line())
    del body["digest"]
    change(body)
    return json.dumps(
        {**body, "digest": evidence._digest(body)},
        **{"sort_keys": True, "separators": (",", ":"), **dumped},
    )


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (line(lambda b: b.pop("samples")), "q:1: lacks samples"),
        (line(lambda b: b["provenance"].pop("commit")), "q:1: lacks commit"),
        (line(lambda b: b.update(more=1)), "q:1: has 'more', which this version does not know"),
        (line(lambda b: b.update(parameters=[])), "q:1: parameters is of type list, not dict"),
        (line(lambda b: b["provenance"].update(dirty=1)), "q:1: dirty is of type int, not bool"),
        (line(lambda b: b["provenance"].update(load="0")), "q:1: load is of type str, not list"),
        (line(lambda b: b.update(schema=True)), "q:1: schema is of type bool, not int"),
        (line(separators=(", ", ":")), "q:1: not written as this program writes a record"),
        (line().replace('"code":', '"code":"x","code":'), "q:1: not written as this program"),
        (line(lambda b: b["result"].update(hits=float("nan"))), "q:1: not JSON: NaN is no number"),
        ("[" * 100_000, "q:1: not JSON: "),
        ('{"a":"\\ud800"}', "q:1: not JSON: "),
    ],
)
def test_a_line_that_is_whole_and_no_record_is_refused(written, says):
    with pytest.raises(EvidenceError, match=says):
        evidence.parsed(written + "\n", "q")


def test_what_a_later_version_noted_is_optional(tmp_path):
    path = tmp_path / "q0.jsonl"
    noted = Provenance(**{**vars(HERE), "machine": "x86_64", "load": [0.5], "seconds": 1.0})
    later = Record("x", {}, {}, noted, "c0de")
    append(path, record(), later)
    assert read(path) == [record(), later]
    assert "machine" not in path.read_text().splitlines()[0]


def test_what_was_run_has_a_key_and_a_label():
    assert record(1, a=1, b=2).key == record(2, b=2, a=1).key != record(1, a=1).key
    assert record(1, updates=300, held=True).label == "delete-create+fetch (held, 300)"
    assert record().label == "delete-create+fetch"


def test_bytes_that_are_no_text_are_named_and_refused(tmp_path):
    path = tmp_path / "q0.jsonl"
    append(path, record())
    path.write_bytes(path.read_bytes() + b"\xff\xfe\n")
    with pytest.raises(EvidenceError, match="q0.jsonl:2: not UTF-8: invalid start byte"):
        read(path)


def test_a_line_separator_inside_a_string_ends_no_record(tmp_path):
    path = tmp_path / "q0.jsonl"
    append(path, record(cpu="a\u2028b\x85c"))
    append(path, record())
    assert read(path)[0].parameters["cpu"] == "a\u2028b\x85c"


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (2, "schema 2 is of a later version, this one reads 1: take that version"),
        (0, "schema 0 is of an earlier version, this one reads 1: record it again"),
        (None, "schema None is none; this version reads 1"),
        ("1", "schema '1' is none; this version reads 1"),
    ],
)
def test_another_schema_is_refused_and_what_helps_is_told(schema, says):
    with pytest.raises(EvidenceError) as caught:
        evidence.parsed(line(lambda b: b.update(schema=schema)) + "\n", "q")
    assert str(caught.value) == f"q:1: {says}"


def test_neighbours_that_are_wrong_in_the_same_way_are_named_together():
    later, whole = line(lambda b: b.update(schema=2)), line()
    lines = [later, later, whole, later, "", "", whole]
    with pytest.raises(EvidenceError) as caught:
        evidence.parsed("\n".join(lines) + "\n", "q")
    named = [one.split(": ")[0] for one in str(caught.value).splitlines()]
    assert named == ["q:1-2", "q:4", "q:5-6"]
    assert str(caught.value).endswith("q:5-6: an empty line")


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n", "[\n1\n]\n", "<p>\n</p>\n", f"> {line()}\n" * 3, "\n" * 9]
)
def test_a_file_of_something_else_is_one_error(text):
    with pytest.raises(EvidenceError) as caught:
        evidence.parsed(text, "q")
    (said,) = str(caught.value).splitlines()
    assert said.startswith("q:1: ")
    assert said.endswith("; nor is any other line a record")


def test_line_ends_that_a_program_has_changed_are_called_so():
    with pytest.raises(EvidenceError, match="^q:1-2: ends in a carriage return"):
        evidence.parsed(f"{line()}\r\n" * 2, "q")


def test_a_write_that_is_interrupted_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "q0.jsonl"
    append(path, record(0))

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(evidence.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        append(path, record(1))
    assert read(path) == [record(0)]
    assert [p.name for p in tmp_path.iterdir()] == ["q0.jsonl"]


def test_what_a_killed_writer_left_is_swept_away(tmp_path):
    path = tmp_path / "q[0].jsonl"
    (tmp_path / ".q[0].jsonl.x1").write_text("{")
    (tmp_path / ".q0.jsonl.x2").write_text("another file's")
    append(path, record(0))
    assert sorted(p.name for p in tmp_path.iterdir()) == [".q0.jsonl.x2", "q[0].jsonl"]


def _append_many(path, first):
    for n in range(first, first + 10):
        append(path, record(n))


def test_two_writers_lose_nothing(tmp_path):
    path = tmp_path / "q0.jsonl"
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_append_many, args=(path, first)) for first in (0, 100)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert sorted(r.result["hits"] for r in read(path)) == [*range(10), *range(100, 110)]
