import platform
import subprocess

import pytest

from memslotlib import provenance
from memslotlib.provenance import code_digest, here_and_now, revision


def git(root, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", root, *identity, *arguments], check=True, capture_output=True)


def test_outside_a_checkout_the_commit_is_unversioned(tmp_path):
    assert revision(tmp_path) == ("unversioned", True)


def test_a_changed_file_makes_the_checkout_dirty_but_a_record_does_not(tmp_path):
    data = tmp_path / "figures" / "data"
    data.mkdir(parents=True)
    (tmp_path / "a.py").write_text("a = 1\n")
    (data / "q0.jsonl").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    commit, dirty = revision(tmp_path)
    assert len(commit) == 12
    assert not dirty
    (data / "q0.jsonl").write_text("{}\n")
    assert revision(tmp_path) == (commit, False)
    (tmp_path / "a.py").write_text("a = 2\n")
    assert revision(tmp_path) == (commit, True)


def test_here_and_now_names_the_host_it_was_given():
    made = here_and_now({"kernel": "6.18"})
    assert made.host == {"kernel": "6.18"}
    assert made.host_kind == "native"
    assert made.date.endswith("+00:00")


def test_here_and_now_notes_how_busy_the_host_is():
    made = here_and_now({}, seconds=1.5)
    assert made.machine == platform.machine()
    assert len(made.load) == 3
    assert all(load >= 0 for load in made.load)
    assert made.seconds == 1.5
    assert here_and_now({}).seconds is None


def test_a_host_is_what_is_known_of_it_but_for_who_may_use_it():
    def named(**facts):
        return here_and_now({"kernel": "6.18", "module": "kvm_amd"} | facts).host_id

    assert named() == named(kvm="/dev/kvm: not permitted")
    assert len({named(), named(kernel="6.19"), named(parameters={"kvm_amd.npt": "0"})}) == 3
    assert len(named()) == 8
    assert set(named()) <= set("0123456789abcdef")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A small project: lab imports base, alone imports nothing."""
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text("X = 1\n")
    (package / "lab.py").write_text('"""Doc."""\nfrom .base import X\n\ndef run():\n    return X\n')
    (package / "alone.py").write_text("def run():\n    return 0\n")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    provenance._code_digest.cache_clear()
    yield package
    provenance._code_digest.cache_clear()


def digest(module):
    provenance._code_digest.cache_clear()
    return provenance._code_digest(frozenset({module}))


def test_a_digest_changes_with_what_the_experiment_imports(project):
    lab, alone = digest("pkg.lab"), digest("pkg.alone")
    (project / "base.py").write_text("X = 2\n")
    assert digest("pkg.lab") != lab
    assert digest("pkg.alone") == alone


def test_comments_docstrings_and_layout_do_not_make_a_record_stale(project):
    before = digest("pkg.lab")
    (project / "lab.py").write_text(
        '"""New."""\nfrom .base import X\n\n\ndef run():\n    """Say."""\n    # why\n    return X\n'
    )
    assert digest("pkg.lab") == before
    (project / "lab.py").write_text(
        '"""New."""\nfrom .base import X\n\ndef run():\n    return -X\n'
    )
    assert digest("pkg.lab") != before


def test_native_sources_count_when_the_host_harness_is_among_the_imports(project):
    host = project / "host"
    host.mkdir()
    (host / "__init__.py").write_text("")
    (host / "race.py").write_text("def run():\n    return 1\n")
    native = project.parent / "kvm"
    native.mkdir()
    (native / "runner.c").write_text("int a;\n")
    before, alone = digest("pkg.host.race"), digest("pkg.alone")
    (native / "runner.c").write_text("int b;\n")
    assert digest("pkg.host.race") != before
    assert digest("pkg.alone") == alone


def test_the_digest_of_a_real_module_is_short_and_stable():
    assert code_digest("memslotlib.verdict") == code_digest("memslotlib.verdict")
    assert len(code_digest("memslotlib.verdict")) == 16
    assert code_digest("memslotlib.verdict") != code_digest("memslotlib.claims")
