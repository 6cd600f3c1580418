"""`jobq` itself: exit codes, errors, how it is started."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from jobq import errors
from jobq.cli import exits, opening
from jobq.cli.main import COMMANDS
from jobq.store.ops.inspect import letters
from tests.cli.burying import Undertaker
from tests.cli.conftest import Run
from tests.conftest import Spawn, StartServer
from tests.support.process import jobq_command
from tests.support.server import Server
from tests.support.terminal import on_a_terminal, read_until

#: Nothing that listens; port 1 needs root.
NOBODY = "redis://:secret@127.0.0.1:1"


# ---------------------------------------------------------------------------- help


def test_help_shows_all_commands_and_the_exit_codes(run: Run) -> None:
    ran = run("--help")
    assert ran.code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in ran.out
    assert "0 ok, 1 error, 2 usage, 3 nothing matched, 4 Redis unreachable" in ran.out


@pytest.mark.parametrize("name", ["dlq", "queues", "job", "workers", "enqueue", "server"])
def test_every_command_has_help(run: Run, name: str) -> None:
    ran = run(name, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: jobq {name}")


def test_no_command_is_loaded_before_it_is_used() -> None:
    code = (
        "import sys\n"
        "from jobq.cli.main import main\n"
        "assert main(['--help']) == 0\n"
        "late = {'worker', 'demo', 'bench', 'server', 'dlq', 'discovery'}\n"
        "found = {name for name in late if f'jobq.cli.{name}' in sys.modules}\n"
        "assert not found, found\n"
        "heavy = {'redis', 'asyncio', 'croniter', 'tomllib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=20)


def test_the_version(run: Run) -> None:
    ran = run("--version")
    assert ran.code == 0
    assert ran.out.startswith("jobq ")


# ---------------------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["wrker"], "No such command 'wrker'. Did you mean 'worker'?"),
        (["zzz"], "No such command 'zzz'."),
        (["--nope"], "No such option"),
        (["queues", "extra"], "unexpected extra argument"),
        (["queues", "--url", "http://a"], "--url: a Redis URL cannot have the scheme 'http'"),
        (["queues", "--url", ""], "--url: "),
        (["--url", "redis://a:b", "queues"], "--url: the Redis URL cannot be read"),
        (["queues", "--url", "embedded://x"], "--url: "),
    ],
)
def test_usage(run: Run, words: list[str], problem: str) -> None:
    ran = run(*words)
    assert ran.code == 2
    assert problem in ran.err
    assert ran.out == ""


READERS = [
    ["dlq", "list"],
    ["dlq", "list", "--json"],
    ["dlq", "show", "x"],
    ["dlq", "retry", "x", "--yes"],
    ["dlq", "purge", "--all", "--yes"],
    ["dlq", "export"],
    ["queues"],
    ["job", "show", "x"],
    ["job", "cancel", "x"],
    ["workers", "--json"],
    ["enqueue", "x"],
]


@pytest.mark.parametrize("words", READERS)
def test_redis_is_not_there(run: Run, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBQ_REDIS_URL", NOBODY)
    monkeypatch.setattr(opening, "PATIENCE", 0.05)
    ran = run(*words)
    assert ran.code == 4
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("jobq: cannot reach Redis at redis://:***@127.0.0.1:1/0: ")
    assert "set JOBQ_REDIS_URL" in ran.err
    assert "secret" not in ran.err


def test_the_wrong_scheme(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBQ_REDIS_URL", "http://localhost")
    ran = run("queues")
    assert ran.code == 1
    assert ran.err.startswith("jobq: a Redis URL cannot have the scheme 'http'")


def test_a_password_that_is_wrong(
    run: Run, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server({"requirepass": "right"})
    monkeypatch.setenv("JOBQ_REDIS_URL", server.url.replace("unix://", "unix://:wrong@"))
    ran = run("queues")
    assert ran.code == 1
    assert ran.err.startswith("jobq: WRONGPASS")
    assert "wrong@" not in ran.err


def test_a_key_of_another_kind(run: Run, server: Server, redis_url: str) -> None:
    server.cli("SET", "jobq:{mail}:dead", "a string")
    ran = run("dlq", "list", "-q", "mail")
    server.cli("DEL", "jobq:{mail}:dead")
    assert ran.code == 1
    assert ran.err.startswith("jobq: WRONGTYPE")
    assert ran.err.count("\n") == 1


def test_debug_shows_the_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBQ_REDIS_URL", NOBODY)
    assert "Traceback" not in run("queues").err
    for words in (["--debug", "queues"], ["queues"]):
        ran = run(*words)
        assert ran.code == 4
        assert "Traceback (most recent call last)" in ran.err
        assert "secret" not in ran.err
        monkeypatch.setenv("JOBQ_DEBUG", "1")


def test_an_app_that_is_broken(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "broken_here.py").write_text("1 / 0\n")
    ran = run("queues", "--app", "broken_here")
    assert ran.code == 1
    assert ran.err.splitlines() == [
        "jobq: broken_here (from --app) cannot be imported:",
        "",
        "Traceback (most recent call last):",
        f'  File "{tmp_path}/broken_here.py", line 1, in <module>',
        "    1 / 0",
        "    ~~^~~",
        "ZeroDivisionError: division by zero",
    ]


def test_the_jobs_of_the_directory_are_not_imported_to_look_at_queues(
    run: Run, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOBQ_APP", "jobs")
    (tmp_path / "jobs.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "pyproject.toml").write_text('[tool.jobq]\napp = "jobs"\n')
    for words in READERS:
        assert run(*words).code in {0, 3}


def test_url_goes_before_the_environment(
    run: Run, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBQ_REDIS_URL", NOBODY)
    assert run("queues", "--url", redis_url).code == 0
    assert run("--url", redis_url, "queues").code == 0
    assert run("--url", NOBODY, "queues", "--url", redis_url).code == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.JobqError("x"), 1),
        (errors.ConfigError("x"), 1),
        (errors.ServerError("x"), 1),
        (errors.StoreError("x"), 1),
        (errors.StoreFull(), 1),
        (errors.StoreDenied("x"), 1),
        (errors.JobNotFound("x"), 3),
        (errors.StoreUnavailable("x"), 4),
        (click.ClickException("x"), 1),
        (exits.NothingMatched("x"), 3),
        (click.UsageError("x"), 2),
        (click.Abort(), 130),
    ],
)
def test_the_code_of_an_error(error: BaseException, code: int) -> None:
    assert exits.report(error, debug=False) == code


def test_what_nobody_foresaw_is_raised(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        exits.report(ZeroDivisionError("x"), debug=False)
    assert capsys.readouterr().err == ""


def test_messages_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    exits.report(errors.StoreError("a\x1b[2Jb\u202ec"), debug=False)
    assert capsys.readouterr().err.endswith(" abc\n")


# ---------------------------------------------------------------------------- the real program


def test_the_real_program(spawn: Spawn, undertaker: Undertaker, redis_url: str) -> None:
    job_id = undertaker.dead()
    listed = spawn("jobq", "dlq", "list", "--json")
    assert [one["id"] for one in json.loads(listed.check())] == [job_id]
    assert spawn("python", "-m", "jobq", "job", "show", "nope").wait() == 3
    assert spawn("jobq", "dlq", "retry").wait() == 2
    assert spawn("jobq", "queues", env={"JOBQ_REDIS_URL": NOBODY}).wait() == 4


def test_a_reader_that_has_enough(undertaker: Undertaker, redis_url: str) -> None:
    for _ in range(100):
        undertaker.dead("shop.send", "x" * 2000)
    words = [*jobq_command(), "dlq", "export"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"id"')
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == exits.Code.PIPE_CLOSED


def test_a_full_disk_is_told(redis_url: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("wb") as full:
        words = [*jobq_command(), "queues", "--json"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, timeout=20, check=False)
    assert done.returncode == 1
    assert b"No space left" in done.stderr


@pytest.mark.parametrize(("answer", "left"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
def test_it_asks_on_a_terminal(
    undertaker: Undertaker, redis_url: str, answer: bytes, left: int
) -> None:
    undertaker.dead()
    with on_a_terminal(["dlq", "purge", "--all"], redis_url) as (process, terminal):
        asked = read_until(terminal, b"[y/N]: ")
        assert b"Remove 1 dead letter for good?" in asked
        os.write(terminal, answer)
        read_until(terminal, b"Nothing was changed." if left else b"1 dead letter purged.")
        assert process.wait(10) == left
    assert len(undertaker.store.run(letters("mail"))) == left


def test_ctrl_c_and_ctrl_d_at_the_question(undertaker: Undertaker, redis_url: str) -> None:
    undertaker.dead()
    for key, code in ((b"\x03", 130), (b"\x04", 1)):
        with on_a_terminal(["dlq", "purge", "--all"], redis_url) as (process, terminal):
            read_until(terminal, b"[y/N]: ")
            os.write(terminal, key)
            assert process.wait(10) == code


def test_colours_on_a_terminal(undertaker: Undertaker, redis_url: str) -> None:
    undertaker.dead()
    with on_a_terminal(["dlq", "list"], redis_url) as (process, terminal):
        assert b"\x1b[1mID" in read_until(terminal, b"KeyError: 'ada'")
        assert process.wait(10) == 0
