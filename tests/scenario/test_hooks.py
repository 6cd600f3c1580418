"""Hooks on failures: real workers, jobs that fail, die, expire, or take their process along."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jobq.webhook import verify
from tests.scenario.ground import PATIENCE, Ground, children, kill
from tests.support.wait import wait_until

HOOKS = """
import threading

def say(word, failed):
    exception = type(failed.exception).__name__
    main = threading.current_thread() is threading.main_thread()
    trace(word, failed.name, failed.attempt, failed.attempts, failed.error, failed.dead,
          failed.reason.replace(" ", "_") or "-", exception, main)

@app.on_failure
def on_failure(failed):
    say("failure", failed)

@app.on_dead
def on_dead_first(failed):
    raise SystemExit("a broken hook")

@app.on_dead
async def on_dead(failed):
    await asyncio.sleep(0)
    say("dead", failed)
    trace("id", failed.id)
"""

JOBS = """
@app.job(retries=1, backoff="1ms")
def broken():
    raise KeyError("ada")

@app.job(retries=3, backoff="1ms")
def flaky():
    if current_job().attempt < 2:
        raise ValueError("not yet")

@app.job(expires="1ms")
def stale():
    trace("stale")

@app.job(max_crashes=1)
def poison():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_hooks_hear_of_each_failure_and_each_death(ground: Ground) -> None:
    ground.write(HOOKS, JOBS)
    (job_id,) = ground.put("jobs.broken", [()])
    ground.put("jobs.flaky", [()])
    ground.put("jobs.stale", [()])
    wait_until(lambda: ground.redis.time()[1] % 1000, "a moment passed")
    worker = ground.burst("--processes", "1")

    assert sorted(ground.traced("failure")) == [
        ["jobs.broken", "1", "2", "KeyError", "False", "-", "KeyError", "False"],
        ["jobs.broken", "2", "2", "KeyError", "True", "attempts_used_up", "KeyError", "False"],
        ["jobs.flaky", "1", "4", "ValueError", "False", "-", "ValueError", "False"],
    ]
    assert sorted(ground.traced("dead")) == [
        ["jobs.broken", "2", "2", "KeyError", "True", "attempts_used_up", "KeyError", "False"],
        ["jobs.stale", "0", "1", "JobExpired", "True", "expired", "NoneType", "False"],
    ]
    assert [job_id] in ground.traced("id")
    assert not ground.redis.exists("jobq:{default}:unheard")
    said = worker.text
    assert "failed hook hook=on_dead_first" in said
    assert "a broken hook" in said


@pytest.mark.slow
def test_a_worker_hears_of_jobs_that_took_their_process_along(ground: Ground) -> None:
    ground.write(HOOKS, JOBS)
    ground.worker("--processes", "1")
    ground.put("jobs.poison", [()])

    (dead,) = ground.wait_traced("dead")
    why = "its_worker_died_once"
    assert dead == ["jobs.poison", "1", "4", "WorkerDied", "True", why, "NoneType", "False"]
    wait_until(lambda: not ground.redis.exists("jobq:{default}:unheard"), "it is noted")
    assert not ground.traced("failure")


@pytest.mark.slow
def test_a_burst_hears_of_them_too(ground: Ground) -> None:
    ground.write(HOOKS, JOBS)
    ground.put("jobs.poison", [()])
    ground.burst("--processes", "1")
    # The worker that followed may have ended before the one that died was looked after.
    if not ground.traced("dead"):
        ground.burst("--processes", "1")
    assert len(ground.traced("dead")) == 1


@pytest.mark.slow
def test_another_worker_hears_of_what_the_first_one_did_not_come_to(ground: Ground) -> None:
    hang = """
@app.on_dead
def hang(failed):
    trace("hang", os.getpid())
    if not os.path.exists("go"):
        time.sleep(1000)
"""
    ground.write(hang, HOOKS, JOBS)
    worker = ground.worker("--processes", "1")
    (first,) = children(worker.pid)
    (job_id,) = ground.put("jobs.broken", [()])
    ground.wait_traced("hang")
    kill(first)
    (ground.folder / "go").touch()
    key = "jobq:{default}:unheard"
    assert ground.redis.zrange(key, 0, -1) == [job_id.encode()]
    assert not ground.traced("id")
    ground.redis.zadd(key, {job_id: 0})  # as if the five minutes had passed

    assert ground.wait_traced("id") == [[job_id]]
    wait_until(lambda: not ground.redis.exists(key), "it is noted")


@pytest.mark.slow
def test_without_hooks_nothing_is_noted(ground: Ground) -> None:
    ground.write("@app.on_failure\ndef on_failure(failed):\n    trace('failure')\n", JOBS)
    ground.put("jobs.broken", [()])
    ground.burst("--processes", "1")
    ground.put("jobs.poison", [()])
    ground.burst("--processes", "1")
    assert len(ground.traced("failure")) == 2
    assert len(ground.dead()) == 2
    assert not ground.redis.exists("jobq:{default}:unheard")


@pytest.mark.slow
def test_what_strangers_wrote_ends_no_hook(ground: Ground) -> None:
    ground.write(HOOKS, JOBS)
    key = "jobq:{default}:unheard"
    ground.put("jobs.broken", [()])
    ground.redis.zadd(key, {b"\xff\x00": 0, b"nobody": 0, b"x" * 1_000_000: 0})
    ground.redis.hset("jobq:{default}:index", "nobody", "xgarbage")
    worker = ground.worker("--processes", "1")
    ground.wait_traced("id")
    wait_until(lambda: not ground.redis.exists(key), "all were looked at")
    ground.redis.set(key, "not a set")
    worker.wait_for_line("cannot look for dead letters for hooks", PATIENCE)
    ground.redis.delete(key)
    ground.put("jobs.broken", [()])
    ground.wait_traced("id", 2)


class Receiver(BaseHTTPRequestHandler):
    """Answers as its server is told; keeps what was posted."""

    def do_POST(self) -> None:
        """Take a post."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        assert isinstance(server, Receiving)
        server.posts.append((self.path, dict(self.headers), body))
        status = server.answers.pop(0) if server.answers else 200
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Receiving(ThreadingHTTPServer):
    """A receiver of webhooks."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[int] = []


@contextmanager
def receiving() -> Iterator[Receiving]:
    with Receiving() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


SECRET = "a secret that nobody guesses"
WEBHOOK = """
app.webhook("http://127.0.0.1:{port}/in?team=1", secret="{secret}", events={events})
"""


@pytest.mark.slow
def test_a_webhook_is_posted_until_it_is_taken(ground: Ground) -> None:
    with receiving() as server:
        server.answers = [503, 500]
        ground.write(WEBHOOK.format(port=server.server_port, secret=SECRET, events=("dead",)), JOBS)
        (job_id,) = ground.put("jobs.broken", [()])
        ground.worker("--processes", "1")
        wait_until(lambda: len(server.posts) == 3, "it was taken", PATIENCE)
    ids = {headers["webhook-id"] for _, headers, _ in server.posts}
    assert len(ids) == 1  # a receiver can tell that it is the same
    path, headers, body = server.posts[-1]
    assert path == "/in?team=1"
    assert verify(headers, body, SECRET)
    assert not verify(headers, body, SECRET + "!")
    said = json.loads(body)
    assert said["type"] == "job.dead"
    data = said["data"]
    assert (data["id"], data["name"], data["error"], data["message"], data["dead"]) == (
        job_id, "jobs.broken", "KeyError", "'ada'", True,
    )  # fmt: skip
    assert 'raise KeyError("ada")' in data["traceback"]


@pytest.mark.slow
@pytest.mark.parametrize("status", [302, 404])
def test_redirects_and_refusals_are_not_tried_again(ground: Ground, status: int) -> None:
    with receiving() as server:
        server.answers = [status]
        events = ("failure", "dead")
        ground.write(WEBHOOK.format(port=server.server_port, secret=SECRET, events=events), JOBS)
        ground.put("jobs.broken", [()])
        worker = ground.worker("--processes", "1")
        wait_until(lambda: len(server.posts) == 3, "all were posted", PATIENCE)
        worker.wait_for_line("failed webhook", PATIENCE)
    assert {path for path, _, _ in server.posts} == {"/in?team=1"}
    kinds = [json.loads(body)["type"] for _, _, body in server.posts]
    assert kinds == ["job.failure", "job.failure", "job.dead"]
    assert f"error=it answered {status}" in worker.text.replace("'", "").replace('"', "")
    assert "team=1" not in worker.text


@pytest.mark.slow
def test_a_receiver_that_is_down_holds_up_nobody(ground: Ground) -> None:
    with receiving() as server:
        port = server.server_port
    ground.write(WEBHOOK.format(port=port, secret=SECRET, events=("dead",)), HOOKS, JOBS)
    ground.put("jobs.broken", [()] * 20)
    worker = ground.worker("--processes", "1")
    ground.wait_traced("id", 20)
    worker.terminate()
    assert worker.wait(PATIENCE) == 0
    assert worker.text.count("failed webhook") == 20
