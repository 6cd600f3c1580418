"""SIGTERM and SIGINT: nothing is lost, nothing is run twice, and the second one means now."""

import signal
import time
from collections import Counter

import pytest

from tests.conftest import StartServer
from tests.scenario.conftest import MakeGround
from tests.scenario.ground import ASYNC, COMMON, PATIENCE, Ground, alive, children, once_each
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

MANY = 5000
SLOW = pytest.mark.slow
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
#: The same code runs for both: one of them is enough in the fast suite.
RUNNING = pytest.mark.parametrize(
    ("number", "kind"),
    [
        pytest.param(signal.SIGTERM, "slow", id="term-slow"),
        pytest.param(signal.SIGTERM, "aslow", id="term-aslow", marks=SLOW),
        pytest.param(signal.SIGINT, "threads", id="int-threads"),
        pytest.param(signal.SIGINT, "slow", id="int-slow", marks=SLOW),
        pytest.param(signal.SIGINT, "aslow", id="int-aslow", marks=SLOW),
        pytest.param(signal.SIGTERM, "threads", id="term-threads", marks=SLOW),
    ],
)


@pytest.mark.parametrize("kind", ["short", pytest.param("ashort", marks=SLOW)])
def test_a_stop_in_the_middle_loses_and_repeats_nothing(ground: Ground, kind: str) -> None:
    ground.write(COMMON, ASYNC if kind == "ashort" else "")
    ground.put(f"jobs.{kind}", [(n,) for n in range(MANY)])
    ground.put("jobs.slow", [(n, 1.0) for n in range(2)], queue="slow")
    first = ground.worker("-q", "slow", "-q", "default", processes=2)
    ground.wait_traced("ran", 1)
    first.terminate()
    assert first.wait(PATIENCE) == 0
    assert ground.left(), "it was stopped too late to prove anything"
    assert ground.pending("jobs") == [], "what was not started was given back"

    ground.burst("--processes", "2", "-q", "slow", "-q", "default")
    assert ground.ran() == once_each(MANY)
    assert ground.ran("started") == ground.ran("ended") == once_each(2)
    assert ground.succeeded() == MANY


@RUNNING
def test_what_runs_is_finished(ground: Ground, number: int, kind: str) -> None:
    ground.write(COMMON, ASYNC if kind == "aslow" else "")
    options = ("--threads", "4") if kind == "threads" else ()
    worker = ground.worker(*options)
    name = "jobs.aslow" if kind == "aslow" else "jobs.slow"
    job = ground.send(name, 7, 1.0)
    ground.wait_traced("started")
    worker.signal(number)
    worker.wait_for_line("stopping: finishing 1 job")
    assert worker.wait() == 0
    assert job.result(timeout=5) == 7
    assert ground.ran("ended") == Counter([7])


@RUNNING
def test_a_second_signal_stops_at_once(ground: Ground, number: int, kind: str) -> None:
    ground.write(COMMON, ASYNC if kind == "aslow" else "")
    options = ("--threads", "4") if kind == "threads" else ()
    worker = ground.worker(*options)
    name = "jobs.aslow" if kind == "aslow" else "jobs.slow"
    job = ground.send(name, 7, 1.0)
    ground.send(name, 8, 30)
    ground.wait_traced("started")
    (pid,) = children(worker.pid)
    worker.signal(number)
    worker.wait_for_line("stopping: finishing")
    worker.signal(number)
    began = time.monotonic()
    assert worker.wait() == 128 + number
    assert time.monotonic() - began < 2
    assert not alive(pid)
    assert ground.pending("jobs") == []
    assert {row[1] for row in ground.pending("retries")} == {b"parked"}
    assert ground.redis.hgetall("jobq:{default}:history") == {}, "nothing was charged"

    ground.worker()
    ground.wait_traced("ended", 1)
    assert job.result(timeout=5) == 7
    ((first, *_),) = [row for row in ground.traced("ended") if row[0] == "7"]
    assert first == "7"


@SIGNALS
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_idle_worker_stops_at_once(ground: Ground, number: int, kind: str) -> None:
    ground.write(COMMON, ASYNC if kind == "async" else "")
    worker = ground.worker(processes=2)
    assert isinstance(ground.send("jobs.who").result(timeout=10), int)
    wait_until(
        lambda: sum(b"cmd=xreadgroup" in line for line in clients(ground)) >= 2,
        "both workers wait for jobs",
    )
    began = time.monotonic()
    worker.signal(number)
    assert worker.wait() == 0
    took = time.monotonic() - began
    assert took < 0.9, f"{took:.2f} s"
    assert ground.redis.hgetall("jobq:workers") == {}


def clients(ground: Ground) -> list[bytes]:
    listed: bytes = ground.server.cli("CLIENT", "LIST")
    return [line for line in listed.splitlines() if b"name=jobq" in line]


def test_a_stop_while_the_workers_import(ground: Ground) -> None:
    ground.write('trace("importing")\ntime.sleep(1)\n', COMMON)
    worker = ground.start("jobq", "worker", "--processes", "2")
    ground.wait_traced("importing")
    worker.terminate()
    assert worker.wait() == 0
    assert "Traceback" not in worker.text


def test_a_stop_just_before_the_first_hello(ground: Ground) -> None:
    """Workers that would be started after the signal would never hear of it."""
    ground.write(
        """
class Early(JobQ):
    def redis_url(self):  # asked just before the worker says that it has found the app
        if not os.path.exists("stopped"):
            open("stopped", "w").close()
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            os.kill(os.getppid(), signal.SIGTERM)
            while signal.SIGTERM not in signal.sigpending():
                time.sleep(0.001)
        return super().redis_url()

def freeze():  # called just after
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

import gc
gc.freeze = freeze
app = Early()
""",
        COMMON,
    )
    worker = ground.start("jobq", "worker", "--processes", "3")
    assert worker.wait(10) == 0


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_stop_while_redis_is_away(ground: Ground, proxy: Proxy, kind: str) -> None:
    ground.url = proxy.url
    ground.write(COMMON, ASYNC if kind == "async" else "")
    worker = ground.worker()
    assert isinstance(ground.send("jobs.who").result(timeout=10), int)
    proxy.refuse()
    worker.wait_for_line("lost redis")
    worker.terminate()
    assert worker.wait(8) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=SLOW)])
def test_a_stop_while_redis_refuses_to_settle(
    start_server: StartServer, make_ground: MakeGround, kind: str
) -> None:
    """A master that has become a replica: outcomes cannot be written; it ends all the same."""
    ground = make_ground(start_server())
    ground.write(COMMON, ASYNC if kind == "async" else "")
    worker = ground.worker()
    ground.send("jobs.slow", 1, 1.0)
    ground.wait_traced("started")
    ground.server.cli("REPLICAOF", "127.0.0.1", "1")
    ground.wait_traced("ended")
    worker.terminate()
    assert worker.wait(8) == 0
    assert len(worker.lines) < 40, "it says so, but not again and again"

    ground.server.cli("REPLICAOF", "NO", "ONE")
    ground.burst("--lease", "1")
    assert ground.left() == 0


def test_user_code_that_takes_the_signals_loses_no_job(ground: Ground) -> None:
    """The first stop is lost on such a worker; the second one works."""
    ground.write(
        COMMON,
        """
@app.job
def grab():
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGALRM, lambda *_: None)
    trace("grabbed")
""",
    )
    worker = ground.worker()
    ground.send("jobs.grab").result(timeout=10)
    job = ground.send("jobs.slow", 1, 30)
    ground.wait_traced("started")
    worker.terminate()
    worker.wait_for_line("stopping")
    worker.terminate()
    assert worker.wait() == 143
    assert job.status() in {"ready", "retrying"}
    assert ground.redis.hgetall("jobq:{default}:history") == {}


# ---------------------------------------------------------------------------- the grace


@pytest.mark.parametrize("grace", ["0.5", "0"])
def test_what_overruns_the_grace_is_given_back_uncounted(ground: Ground, grace: str) -> None:
    ground.write(COMMON)
    worker = ground.worker("--grace", grace, processes=2)
    job = ground.send("jobs.slow", 1, 30)
    ground.wait_traced("started")
    began = time.monotonic()
    worker.terminate()
    assert worker.wait() == 143
    assert time.monotonic() - began < 2.5
    assert job.status() in {"ready", "retrying"}
    assert ground.redis.hgetall("jobq:{default}:history") == {}
    assert ground.pending("jobs") == []


def test_who_runs_nothing_is_not_cut_short(ground: Ground) -> None:
    ground.write(COMMON)
    worker = ground.worker("--grace", "0", processes=2)
    assert isinstance(ground.send("jobs.who").result(timeout=10), int)
    worker.terminate()
    assert worker.wait() == 0


def test_the_second_signal_ends_a_wait_for_redis(ground: Ground, proxy: Proxy) -> None:
    """Everything hangs: Redis takes what is sent and never answers."""
    ground.url = proxy.url
    ground.write(COMMON)
    worker = ground.worker()
    ground.send("jobs.slow", 1, 60)
    ground.wait_traced("started")
    proxy.black_hole()
    worker.terminate()
    worker.wait_for_line("stopping: finishing 1 job")
    began = time.monotonic()
    worker.terminate()
    assert worker.wait() == 143
    # 2 s as promised, and some more because a busy machine does not always run us.
    assert time.monotonic() - began < 4


@pytest.mark.slow
def test_the_end_of_the_grace_is_not_missed_in_a_wait_for_redis(
    ground: Ground, proxy: Proxy
) -> None:
    ground.url = proxy.url
    ground.write(COMMON)
    worker = ground.worker("--grace", "1.5")
    ground.send("jobs.slow", 1, 60)
    ground.wait_traced("started")
    proxy.black_hole()
    began = time.monotonic()
    worker.terminate()
    assert worker.wait(20) == 143
    assert time.monotonic() - began < 5, "1.5 s, and some more until all is over"
