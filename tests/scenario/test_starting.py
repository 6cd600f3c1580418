"""How a worker starts, what it says, and how a burst ends."""

import json
import time

import pytest

from tests.conftest import StartServer
from tests.scenario.conftest import MakeGround
from tests.scenario.ground import ASYNC, COMMON, PATIENCE, Ground, children, once_each
from tests.support.proxy import Proxy
from tests.support.wait import wait_until


def test_without_an_app_it_says_what_it_tried(ground: Ground) -> None:
    worker = ground.start("jobq", "worker", "--processes", "2")
    assert worker.wait() == 1
    assert "--app" in worker.text
    assert "JOBQ_APP" in worker.text
    assert "jobs.py" in worker.text
    assert "Traceback" not in worker.text


@pytest.mark.parametrize("app", ["nowhere", "jobs:nothing", "jobs:trace", "not a name"])
def test_an_app_that_is_not_there(ground: Ground, app: str) -> None:
    ground.write(COMMON)
    worker = ground.start("jobq", "worker", "--app", app)
    assert worker.wait() == 1
    assert app.partition(":")[0] in worker.text
    assert "worker died" not in worker.text


def test_an_app_that_fails_at_import_is_shown_once(ground: Ground) -> None:
    ground.write("1 / 0  # the mistake\n")
    worker = ground.start("jobq", "worker", "--processes", "2")
    assert worker.wait() == 1
    assert worker.text.count("ZeroDivisionError") == 1, worker.text
    assert "the mistake" in worker.text
    assert "worker died" not in worker.text


@pytest.mark.parametrize("how", ["os._exit(0)", "os._exit(7)", "os.kill(os.getpid(), 9)"])
def test_an_app_that_kills_the_process_at_import(ground: Ground, how: str) -> None:
    ground.write(how)
    worker = ground.start("jobq", "worker", "--processes", "2")
    assert worker.wait() == (7 if "7" in how else 1)
    assert worker.text, "it says something"


@pytest.mark.parametrize(
    "what",
    [
        "os.closerange(3, 64)",
        "[os.write(fd, b'garbage\\n') for fd in range(3, 64) if is_pipe(fd)]",
        "os.kill(os.getppid(), signal.SIGUSR1), os.kill(os.getpid(), signal.SIGUSR1), os._exit(1)",
    ],
    ids=["closes", "writes", "signals"],
)
def test_an_app_that_disturbs_its_supervisor_at_import(ground: Ground, what: str) -> None:
    ground.write(
        """
import stat
def is_pipe(fd):
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False
""",
        what,
    )
    worker = ground.start("jobq", "worker", "--processes", "2")
    assert worker.wait() == 1
    assert worker.text, "it says something"
    assert "supervisor.py" not in worker.text, "it was a worker that failed"


@pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])
def test_redis_is_not_there_at_the_start(ground: Ground, proxy: Proxy, kind: str) -> None:
    ground.url = proxy.url
    proxy.refuse()
    ground.write(COMMON, ASYNC if kind == "async" else "")
    worker = ground.start("jobq", "worker", "--processes", "1")
    worker.wait_for_line("lost redis error=cannot reach Redis at redis://127.0.0.1.*JOBQ_REDIS_URL")
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 1.0, "a second is over")
    said = [line for line in worker.lines if "lost redis" in line]
    assert len(said) <= 2, "the supervisor and the worker say it once each"
    job = ground.send("jobs.who")
    proxy.accept()
    assert isinstance(job.result(timeout=15), int)


@pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])
def test_a_wrong_password_ends_it(
    start_server: StartServer, make_ground: MakeGround, kind: str
) -> None:
    server = start_server({"requirepass": "right"})
    ground = make_ground(server)
    ground.write(COMMON, ASYNC if kind == "async" else "")
    with_password = server.url.replace("unix://", "unix://:wrong@")
    worker = ground.start("jobq", "worker", env={"JOBQ_REDIS_URL": with_password})
    assert worker.wait() == 1
    assert "password" in worker.text.lower()
    assert "wrong@" not in worker.text
    assert "Traceback" not in worker.text
    assert len(worker.lines) < 15, worker.text


def test_a_url_that_is_none(ground: Ground) -> None:
    ground.write(COMMON)
    worker = ground.start("jobq", "worker", env={"JOBQ_REDIS_URL": "http://example.org"})
    assert worker.wait() == 1
    assert "redis://" in worker.text
    assert "Traceback" not in worker.text


def test_the_banner(ground: Ground) -> None:
    ground.write(COMMON, ASYNC)
    options = ("--threads", "3", "--concurrency", "7", "--lease", "90", "--name", "w1")
    worker = ground.start("jobq", "worker", "--processes", "2", *options)
    worker.wait_for_line("jobq worker w1")
    worker.wait_for_line(r"app +jobs.*5 job functions")
    worker.wait_for_line(r"redis +unix://")
    worker.wait_for_line(r"queues +default")
    worker.wait_for_line(r"2 processes")
    worker.wait_for_line(r"1 m 30 s")
    worker.wait_for_line(r"Ctrl-C once")
    assert worker.out == [], "stdout is left to the jobs"
    wait_until(lambda: ground.redis.hkeys("jobq:workers") == [b"w1"], "it is in the register")
    listed = json.loads(ground.start("jobq", "workers", "--json").check())
    assert [row["name"] for row in listed] == ["w1"]


def test_logs_as_json(ground: Ground) -> None:
    ground.write(COMMON, "@app.job(retries=0)\ndef bad():\n    raise ValueError('line\\nof two')")
    worker = ground.start(
        "jobq", "worker", "--processes", "1", "--burst", "--log-format", "json", "-v"
    )
    ground.send("jobs.bad")
    ground.send("jobs.who")
    worker.wait(PATIENCE)
    said = [json.loads(line) for line in worker.err]
    assert {"at", "level", "logger", "message", "process", "event"} <= set(said[0])
    assert any("buried job=" in row["message"] for row in said) or ground.left() == 2
    assert {row["level"] for row in said} <= {"debug", "info", "warning", "error"}


def test_verbose_logs_each_job(ground: Ground) -> None:
    ground.write(COMMON)
    job = ground.send("jobs.who")
    worker = ground.start("jobq", "worker", "--processes", "1", "-v")
    worker.wait_for_line(r"started worker pid=\d+")
    worker.wait_for_line(rf"ran job={job.id} name=jobs.who attempt=1 took=[\d.]+s")


@pytest.mark.parametrize(
    "words",
    [
        ("--lease", "0.1"),
        ("--lease", "soon"),
        ("--grace", "-1"),
        ("--max-rss", "much"),
        ("--max-jobs", "0"),
        ("--processes", "0"),
        ("--name", "a b"),
        ("-q", "{"),
    ],
)
def test_options_that_cannot_be(ground: Ground, words: tuple[str, str]) -> None:
    ground.write(COMMON)
    worker = ground.start("jobq", "worker", *words)
    assert worker.wait() == 2
    assert words[0].strip("-") in worker.text


# ---------------------------------------------------------------------------- burst


@pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])
def test_a_burst_ends_at_once_on_an_empty_queue(ground: Ground, kind: str) -> None:
    ground.write(COMMON, ASYNC if kind == "async" else "")
    ground.burst("--processes", "2")


@pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])
def test_a_burst_waits_for_retries_and_not_for_the_unknown(ground: Ground, kind: str) -> None:
    ground.write(
        f"""
@app.job(backoff=0.5)
{"async " if kind == "async" else ""}def twice():
    trace("attempt", current_job().attempt)
    if current_job().attempt == 1:
        raise ValueError("again")
"""
    )
    ground.send("jobs.twice")
    ground.send("jobs.unheard_of")
    ground.burst("--processes", "3")
    assert [row[0] for row in ground.traced("attempt")] == ["1", "2"]
    assert ground.left() == 1


@pytest.mark.slow
def test_a_burst_of_several_processes_waits_for_the_last(ground: Ground) -> None:
    ground.write(COMMON)
    ground.put("jobs.slow", [(0, 1.5)])
    ground.put("jobs.short", [(n,) for n in range(1000)])
    worker = ground.start("jobq", "worker", "--burst", "--processes", "2")
    ground.wait_traced("ran", 1000)
    assert len(children(worker.pid)) == 2, "the idle one waits: there may be a retry"
    worker.check(PATIENCE)
    assert ground.ran() == once_each(1000)
    assert ground.ran("ended") == once_each(1)


def test_a_burst_of_an_app_on_several_queues(ground: Ground) -> None:
    ground.write(
        "@app.job(queue='a')\ndef one(): trace('ran', 0)\n"
        "@app.job(queue='b')\nasync def two(): trace('ran', 1)\n"
    )
    ground.put("jobs.one", [()], queue="a")
    ground.put("jobs.two", [()], queue="b")
    ground.burst("--processes", "2")
    assert ground.ran() == once_each(2)
