"""`jobq metrics`, and `jobq worker --metrics`."""

import os
import re
import signal
import subprocess
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as read_text

from jobq import JobQ
from jobq.store import keys
from tests.cli.burying import Undertaker
from tests.cli.conftest import Run
from tests.conftest import Spawn
from tests.scenario.ground import PROC
from tests.support.process import Child
from tests.support.server import Server
from tests.support.wait import wait_until

JOBS = """\
from jobq import JobQ
app = JobQ()

@app.job(queue="mail", retries=0)
def send(n):
    if n % 5 == 4:
        raise KeyError(n)
"""


def read(text: str) -> dict[tuple[str, ...], float]:
    """Return the values by name and the values of the labels, in the order of their names."""
    return {
        (
            one.name.removeprefix("jobq_"),
            *(one.labels[name] for name in sorted(one.labels)),
        ): one.value
        for family in read_text(text)
        for one in family.samples
    }


def get(address: str, path: str = "/metrics") -> tuple[int, str]:
    host, _, port = address.rpartition(":")
    client = HTTPConnection(host, int(port), timeout=20)
    try:
        client.request("GET", path)
        answer = client.getresponse()
        return answer.status, answer.read().decode()
    finally:
        client.close()


def queue(run: Run) -> dict[str, Any]:
    """Return what `jobq queues` says of the only queue."""
    rows: Any = run("queues", "--json").json
    (row,) = rows
    return dict(row)


def test_once(run: Run, undertaker: Undertaker) -> None:
    assert read(run("metrics").out)["redis_up",] == 1
    undertaker.dead("mail.send")
    undertaker.enqueue("mail.send")
    undertaker.say("w1", "running")
    ran = run("metrics")
    assert (ran.code, ran.err) == (0, "")
    seen = read(ran.out)
    assert seen["queue_jobs", "mail", "ready"] == seen["queue_jobs", "mail", "dead"] == 1
    assert seen["queue_backlog_seconds", "mail"] == float("inf")
    assert seen["queue_workers", "mail"] == seen["workers", "running"] == 1
    assert seen["redis_memory_bytes",] > 100_000
    assert 0 < seen["redis_latency_seconds",] < 5
    row = queue(run)
    assert row["backlog_seconds"] is None
    assert run("queues").out.splitlines()[1].split()[-2:] == ["endless", "0"]


def test_a_queue_that_is_garbage_hides_no_other(
    run: Run, undertaker: Undertaker, server: Server
) -> None:
    undertaker.enqueue("mail.send")
    server.cli("SADD", keys.QUEUES, "bad", "\x1b[31m{x}")
    server.cli("SET", keys.index("bad"), "garbage")
    server.cli("HSET", keys.WORKERS, "w", b"12 \xff\xff", "v", b"garbage")
    seen = read(run("metrics").out)
    assert seen["unreadable_queues",] == 1
    assert seen["queue_jobs", "mail", "ready"] == 1
    server.cli("SET", keys.WORKERS, "garbage")
    assert read(run("metrics").out)["workers", "running"] == 0
    server.cli("FLUSHALL")


def test_a_redis_that_cannot_be_reached_is_an_error_that_says_so(run: Run) -> None:
    ran = run("metrics", "--url", "redis://127.0.0.1:1/0")
    assert (ran.code, ran.out) == (4, "")
    assert run("metrics", "--listen", "9464").code == 2
    assert run("worker", "--metrics", "9464").code == 2


@pytest.mark.slow
def test_served_until_stopped_also_while_redis_is_away(
    spawn: Spawn, server: Server, undertaker: Undertaker
) -> None:
    undertaker.enqueue("mail.send")
    child = spawn("jobq", "metrics", "--listen", "127.0.0.1:0")
    address = child.wait_for_line(r"http://([0-9.:]+)/metrics").group(1)
    assert read(get(address)[1])["queue_jobs", "mail", "ready"] == 1
    server.kill()
    wait_until(lambda: read(get(address)[1])["redis_up",] == 0, "it was noticed")
    assert get(address, "/readyz")[0] == 503
    assert get(address, "/healthz")[0] == 200
    child.terminate()
    assert child.wait() == 0


def test_the_rates_of_a_queue(run: Run, redis_url: str) -> None:
    with JobQ(redis_url) as app:
        app.job(print, name="jobs.send", queue="mail")
        app.options(queue="mail").send("jobs.send", 1)
    row = queue(run)
    assert row["enqueued_per_second"] > 0
    assert row["processed_per_second"] == 0


def start(spawn: Spawn, tmp_path: Path, *words: str) -> tuple[Child, str]:
    (tmp_path / "jobs.py").write_text(JOBS)
    child = spawn(
        "jobq", "worker", "--processes", "1", "--metrics", "127.0.0.1:0", *words, cwd=tmp_path
    )
    address = child.wait_for_line(r"metrics +http://([0-9.:]+)/metrics", 30).group(1)
    wait_until(lambda: get(address, "/healthz")[0] == 200, "it answers", 30)
    return child, address


def children(child: Child) -> set[int]:
    said = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    pairs = [line.split() for line in said.splitlines()]
    return {int(pid) for pid, parent in pairs if int(parent) == child.pid}


@pytest.mark.slow
@pytest.mark.skipif(not PROC, reason="it looks into /proc")
def test_a_worker_that_shows_its_metrics(
    spawn: Spawn, tmp_path: Path, server: Server, run: Run, redis_url: str
) -> None:
    """What it counts is what `jobq queues` counts; also after the process that shows it died."""
    child, address = start(spawn, tmp_path)
    with JobQ(redis_url) as app:
        for n in range(100):
            app.options(queue="mail").send("jobs.send", n)

    def counted() -> bool:
        seen = read(get(address)[1])
        return seen.get(("jobs_succeeded_total", "jobs.send", "mail"), 0) == 80

    wait_until(counted, "all have run", 30)
    seen = read(get(address)[1])
    row = queue(run)
    for name in ("succeeded", "dead", "retried", "expired", "cancelled"):
        shown = sum(value for key, value in seen.items() if key[0] == f"jobs_{name}_total")
        assert shown == row["totals"][name], name
    assert seen["jobs_enqueued_total", "jobs.send", "mail"] == 100
    assert seen["jobs_failed_total", "jobs.send", "mail"] == 20
    assert seen["job_run_seconds_count", "jobs.send", "mail"] == 100
    assert row["processed_per_second"] > 0
    assert (seen["workers", "running"], seen["worker_processes",]) == (1, 1)

    before = children(child)
    (exporter,) = [pid for pid in before if _listens(pid)]
    os.kill(exporter, signal.SIGTERM)
    os.kill(exporter, signal.SIGINT)  # it is deaf to both: they are for its supervisor
    assert get(address, "/healthz")[0] == 200
    os.kill(exporter, signal.SIGKILL)
    child.wait_for_line(f"metrics process died pid={exporter}")
    assert get(address, "/healthz")[0] == 200, "who asks meanwhile waits for the next one"
    after = children(child)
    assert exporter not in after
    assert len(before & after) == len(before) - 1, "no worker has noticed"
    child.terminate()
    assert child.wait(30) == 0
    assert not [line for line in child.err if "Traceback" in line]


@pytest.mark.slow
def test_the_metrics_end_with_their_supervisor_however_that_ends(
    spawn: Spawn, tmp_path: Path, server: Server, redis_url: str
) -> None:
    child, address = start(spawn, tmp_path, "--log-format", "text")
    child.kill()

    def gone() -> bool:
        try:
            get(address, "/healthz")
        except OSError:
            return True
        except HTTPException:  # it ended in the middle of this answer
            return False
        return False

    wait_until(gone, "nobody listens there any more", 30)


@pytest.mark.slow
def test_a_port_that_is_taken_starts_no_worker(
    spawn: Spawn, tmp_path: Path, server: Server, redis_url: str
) -> None:
    _, address = start(spawn, tmp_path)
    other = spawn("jobq", "worker", "--metrics", address, cwd=tmp_path)
    assert other.wait(30) == 1
    assert re.search(r"cannot listen on .*in use", other.text)


def _listens(pid: int) -> bool:
    """Tell whether a process holds a TCP socket that listens."""
    held = {str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir() if one.is_symlink()}
    lines = Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    fields = map(str.split, lines)
    return not held.isdisjoint(f"socket:[{one[9]}]" for one in fields if one[3] == "0A")
