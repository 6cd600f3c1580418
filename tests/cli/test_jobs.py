"""`jobq queues`, `jobq job`, `jobq workers` and `jobq enqueue`."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgpack
import pytest

from jobq.store.ops import enqueue, upkeep
from tests.cli.burying import Undertaker
from tests.cli.conftest import Run

JOBS = """
from jobq import JobQ

app = JobQ()

@app.job(name="shop.send", queue="mail", retries=7)
def send(to, *, subject=""):
    pass
"""


def only(found: object) -> dict[str, object]:
    assert isinstance(found, list)
    [one] = found
    assert isinstance(one, dict)
    return one


def test_nothing_there_yet(run: Run, redis_url: str) -> None:
    assert run("queues").out.startswith("No queues yet.")
    assert run("queues", "--json").json == []
    assert run("workers").out == "No workers. Start one where the app is: jobq worker\n"
    assert run("workers", "--json").json == []


def test_queues_count_jobs_by_state(run: Run, undertaker: Undertaker) -> None:
    for _ in range(5):
        undertaker.enqueue()
    undertaker.succeed(1)
    undertaker.bury()
    undertaker.park()
    undertaker.start()
    undertaker.enqueue(queue="bulk")
    found = run("queues", "--json").json
    assert isinstance(found, list)
    assert [one["name"] for one in found] == ["bulk", "mail"]
    mail = found[1]
    assert 0 <= mail.pop("oldest_seconds") < 60
    assert mail.pop("enqueued_per_second") > 0
    assert mail == {
        "name": "mail",
        "ready": 1,
        "delayed": 0,
        "running": 1,
        "retrying": 1,
        "unknown": 0,
        "dead": 1,
        "totals": {"succeeded": 1, "retried": 1, "dead": 1, "cancelled": 0, "expired": 0},
        "put_back": 0,
        "backlog_seconds": None,
        "processed_per_second": 0.0,
        "paused": [],
    }
    lines = run("queues").out.splitlines()
    assert lines[0].split()[:6] == ["QUEUE", "READY", "DELAYED", "RUNNING", "RETRYING", "DEAD"]
    assert lines[2].split()[:6] == ["mail", "1", "0", "1", "1", "1"]


def test_a_delayed_job(run: Run, undertaker: Undertaker) -> None:
    undertaker.dead()
    call = undertaker.codec.encode_call("shop.send", ("ada",), {}, None)
    later = enqueue.enqueue_special("mail", [("later", call)], due=(3_600_000, 0))
    undertaker.store.run(later)
    mail = only(run("queues", "--json").json)
    assert (mail["delayed"], mail["ready"]) == (1, 0)
    found = run("job", "show", "later", "--json").json
    assert isinstance(found, dict)
    assert (found["state"], found["attempt"]) == ("delayed", 0)
    assert isinstance(found["due_at"], str)
    assert re.search(r"due .*\(in (1 h|59 m)\)", run("job", "show", "later").out)
    assert run("job", "cancel", "later").code == 0
    assert "state  cancelled" in run("job", "show", "later").out


def test_queues_tell_of_jobs_that_no_worker_knows(run: Run, undertaker: Undertaker) -> None:
    undertaker.enqueue()
    undertaker.put_back()
    mail = only(run("queues", "--json").json)
    assert (mail["retrying"], mail["unknown"], mail["put_back"]) == (1, 1, 1)
    ran = run("queues")
    assert ran.code == 0
    assert ran.err.startswith("mail: 1 of those that are retrying have a name that no worker knows")


def test_a_job_from_ready_to_succeeded(run: Run, undertaker: Undertaker) -> None:
    job_id = undertaker.enqueue("shop.send", "ada", kwargs={"n": 1})
    undertaker.enqueue(queue="other")

    def shown() -> dict[str, object]:
        found = run("job", "show", job_id, "--json").json
        assert isinstance(found, dict)
        return found

    ready = shown()
    assert list(ready) == [
        "id", "queue", "state", "job", "args", "kwargs", "problem", "raw", "signed_by", "headers",
        "attempt", "worker", "enqueued_at", "due_at", "paused", "failed_at", "result",
        "result_problem", "reason", "error", "message", "traceback", "history",
        "progress",
    ]  # fmt: skip
    assert (ready["id"], ready["queue"], ready["state"]) == (job_id, "mail", "ready")
    assert (ready["job"], ready["args"], ready["kwargs"]) == ("shop.send", ["ada"], {"n": 1})
    undertaker.start()
    running = shown()
    assert (running["state"], running["attempt"], running["worker"]) == ("running", 1, "w1")
    text = run("job", "show", job_id, "-q", "mail").out
    assert text.splitlines()[:2] == ["state     running", "job       shop.send('ada', n=1)"]


def test_a_job_that_has_succeeded(run: Run, undertaker: Undertaker) -> None:
    job_id = undertaker.enqueue()
    undertaker.succeed({"a": (1, float("nan"))})
    found = run("job", "show", job_id, "--json").json
    assert isinstance(found, dict)
    assert (found["state"], found["result"]) == ("succeeded", {"a": [1, "NaN"]})
    assert found["job"] is None
    assert "result  {'a': (1, nan)}" in run("job", "show", job_id).out


def test_a_job_that_waits_for_its_next_attempt(run: Run, undertaker: Undertaker) -> None:
    job_id = undertaker.enqueue()
    undertaker.park(delay=3600)
    found = run("job", "show", job_id, "--json").json
    assert isinstance(found, dict)
    assert (found["state"], found["attempt"]) == ("retrying", 1)
    assert isinstance(found["due_at"], str)
    text = run("job", "show", job_id).out
    assert "attempt 1 failed  KeyError: 'ada'" in text
    assert re.search(r"due .*\(in (1 h|59 m)\)", text)
    assert "raise KeyError(to)" in text


def test_a_dead_job_is_shown_as_its_dead_letter(run: Run, undertaker: Undertaker) -> None:
    job_id = undertaker.dead()
    assert run("job", "show", job_id).out == run("dlq", "show", job_id).out
    found = run("job", "show", job_id, "--json").json
    assert isinstance(found, dict)
    assert (found["state"], found["error"], found["attempt"]) == ("dead", "KeyError", 4)
    assert found["reason"] == "attempts used up"


def test_no_such_job(run: Run, undertaker: Undertaker) -> None:
    job_id = undertaker.enqueue()
    for words in (["show", "nope"], ["cancel", "nope"], ["show", job_id, "-q", "other"]):
        ran = run("job", *words)
        assert ran.code == 3
        assert ran.err.startswith(f"jobq: no job {words[1]}")
        assert ran.out == ""


def test_cancel_of_jobs_that_wait(run: Run, undertaker: Undertaker) -> None:
    first = undertaker.enqueue()
    undertaker.park()
    second = undertaker.enqueue()
    assert run("job", "cancel", first).out == f"Cancelled {first}.\n"
    assert run("job", "cancel", second, "--yes").code == 0
    found = run("job", "show", second, "--json").json
    assert isinstance(found, dict)
    assert found["state"] == "cancelled"
    assert run("job", "show", second).out.startswith("state  cancelled")
    assert only(run("queues", "--json").json)["totals"] == {
        "succeeded": 0, "retried": 1, "dead": 0, "cancelled": 2, "expired": 0,
    }  # fmt: skip


def test_cancel_in_a_queue_that_no_worker_ever_read(run: Run, redis_url: str) -> None:
    made = run("enqueue", "shop.send", "--json").json
    assert isinstance(made, dict)
    assert run("job", "cancel", made["id"]).code == 0
    assert only(run("queues", "--json").json)["ready"] == 0


def test_cancel_of_a_job_that_runs(run: Run, undertaker: Undertaker) -> None:
    job_id = undertaker.enqueue()
    attempt, _ = undertaker.start()
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(undertaker.interrupt, attempt)
        ran = run("job", "cancel", job_id)
        ended.result(timeout=20)
    assert (ran.code, ran.out) == (0, f"Cancelled {job_id}.\n")


def test_cancel_of_a_job_that_goes_on(
    run: Run, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobq.cli.job._PATIENCE", 0.05)
    running = undertaker.enqueue()
    undertaker.start()
    ran = run("job", "cancel", running)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        f"jobq: asked w1 to end {running}: it is still running; "
        "it is killed after the grace of its worker\n"
    )


def test_cancel_of_jobs_that_have_ended(run: Run, undertaker: Undertaker) -> None:
    dead = undertaker.dead()
    ran = run("job", "cancel", dead)
    assert ran.code == 1
    assert f"it is dead\nfix: jobq dlq purge {dead}" in ran.err
    done = undertaker.enqueue()
    undertaker.succeed(1)
    ran = run("job", "cancel", done)
    assert ran.code == 1
    assert "it has succeeded already" in ran.err


def test_workers(run: Run, undertaker: Undertaker) -> None:
    record = {
        "host": "ann-laptop",
        "pid": 4127,
        "queues": ["mail", "bulk"],
        "weights": {"mail": 5, "bulk": 1},
        "processes": 2,
        "threads": 1,
        "concurrency": 100,
        "started_ms": 1_700_000_000_000,
        "app": "shop.jobs:app",
        "version": "0.1.0",
        "jobs": ["shop.send"],
        "running": 3,
        "state": "running",
    }
    undertaker.store.run(upkeep.beat("ann:4127", msgpack.packb(record), 60.0))
    found = only(run("workers", "--json").json)
    assert isinstance(found.pop("seen_at"), str)
    record.pop("started_ms")
    assert found == {**record, "name": "ann:4127", "started_at": "2023-11-14T22:13:20.000Z"}
    line = run("workers").out.splitlines()[1]
    assert line.startswith("ann:4127  running        3  mail=5, bulk=1  2 x 1 sync, 100 async")


@pytest.mark.parametrize("record", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x81\xa4host\x05"])
def test_a_worker_of_another_release(run: Run, undertaker: Undertaker, record: bytes) -> None:
    undertaker.store.run(upkeep.beat("odd\x1b[2J", record or b"\xc0", 60.0))
    found = only(run("workers", "--json").json)
    assert (found["host"], found["queues"], found["started_at"]) == ("", [], None)
    ran = run("workers")
    assert ran.code == 0
    assert "\x1b" not in ran.out


def test_enqueue(run: Run, undertaker: Undertaker) -> None:
    ran = run(
        "enqueue", "shop.send", "--args", '["ada", 3]', "--kwargs", '{"a": {"b": [null, 1.5]}}',
        "--queue", "mail", "--job-id", "my-own", "--retries", "2", "--timeout", "30",
        "--result-ttl", "1h",
    )  # fmt: skip
    assert (ran.code, ran.out) == (0, "Enqueued my-own in queue 'mail'.\n")
    undertaker.store.run(upkeep.regroup("mail"))
    _, blob = undertaker.start()
    name, args, kwargs, headers = undertaker.codec.decode_call(blob)
    assert (name, args, kwargs) == ("shop.send", ["ada", 3], {"a": {"b": [None, 1.5]}})
    assert headers == {"r": 2, "t": 30.0, "k": 3600.0}


def test_enqueue_says_the_id(run: Run, redis_url: str) -> None:
    made = run("enqueue", "shop.send", "--json").json
    assert isinstance(made, dict)
    assert (made["job"], made["queue"]) == ("shop.send", "default")
    found = run("job", "show", made["id"], "--json").json
    assert isinstance(found, dict)
    assert (found["state"], found["args"], found["kwargs"]) == ("ready", [], {})


def test_enqueue_under_an_id_that_is_taken(run: Run, redis_url: str) -> None:
    assert run("enqueue", "shop.send", "--job-id", "mine").code == 0
    ran = run("enqueue", "shop.send", "--job-id", "mine")
    assert ran.code == 1
    assert "job 'mine' exists already" in ran.err


def test_enqueue_with_an_app_uses_its_queue_and_signature(
    run: Run, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "enqueue_app.py").write_text(JOBS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    made = run("enqueue", "-A", "enqueue_app", "shop.send", "--args", '["ada"]', "--json").json
    assert isinstance(made, dict)
    assert made["queue"] == "mail"
    ran = run("--app", "enqueue_app", "enqueue", "shop.send", "--kwargs", '{"nope": 1}')
    assert ran.code == 1
    assert "Its signature: shop.send(to, *, subject='')" in ran.err
    assert "Traceback" not in ran.err


def test_enqueue_for_later(run: Run, redis_url: str) -> None:
    for words, state in (
        (("--delay", "5m", "--priority", "high"), "delayed"),
        (("--at", "2001-01-01T00:00Z", "--priority", "low", "--expires", "1h"), "ready"),
    ):
        made = run("enqueue", "shop.send", *words, "--json").json
        assert isinstance(made, dict)
        assert f"state     {state}" in run("job", "show", str(made["id"])).out


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--delay", "nan"], "delay is 'nan', which is not a duration"),
        (["--delay", "-1"], "delay is '-1'"),
        (["--delay", "400d"], "delay is 400 d ahead, and max_delay is 365 d"),
        (["--at", "tomorrow"], "'tomorrow' is no moment; use 2030-01-01T09:00+01:00"),
        (["--at", "2030-01-01T09:00"], "has no offset from UTC"),
        (["--at", "9999-12-31T23:59Z"], "ahead, and max_delay is 365 d"),
        (["--at", "2030-01-01T09:00Z", "--delay", "1"], "delay and at contradict each other"),
        (["--priority", "urgent"], "'urgent' is not one of 'high', 'normal', 'low'"),
        (["--expires", "x"], "expires is 'x'"),
    ],
)
def test_enqueue_for_no_time(run: Run, redis_url: str, words: list[str], problem: str) -> None:
    ran = run("enqueue", "x", *words)
    assert (ran.code, ran.out) == (2, "")
    assert problem in ran.err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "Missing argument"),
        (["", "--args", "[]"], "empty"),
        (["\udcff"], "not UTF-8"),
        (["a", "--args", "{}"], "it is an object; use a JSON array"),
        (["a", "--args", "3"], "it is a number"),
        (["a", "--args", '"x"'], "it is a string"),
        (["a", "--args", "null"], "it is null"),
        (["a", "--args", "true"], "it is true"),
        (["a", "--args", "[1,"], "it is not JSON"),
        (["a", "--args", ""], "it is not JSON"),
        (["a", "--args", "[NaN]"], "there is no NaN in JSON"),
        (["a", "--args", "[" * 100_000], "nested too deeply"),
        (["a", "--args", f"[{'9' * 5000}]"], "it is not JSON"),
        (["a", "--kwargs", "[]"], "it is an array; use a JSON object"),
        (["a", "--queue", "a b"], "queue is 'a b'"),
        (["a", "--job-id", "a b"], "job_id contains ' '"),
        (["a", "--retries", "x"], "not a valid integer"),
        (["a", "--retries", "-1"], "retries is -1"),
        (["a", "--timeout", "0"], "timeout is 0"),
        (["a", "--timeout", "soon"], "not a duration"),
        (["a", "--result-ttl", "-1"], "result_ttl"),
        (["a\nb"], "name is"),
        (["x" * 201], "name has 201 characters"),
    ],
)
def test_enqueue_with_bad_input(run: Run, redis_url: str, words: list[str], problem: str) -> None:
    ran = run("enqueue", *words)
    assert ran.code == 2, ran
    assert problem in ran.err
    assert ran.err.startswith("Usage: jobq enqueue")
    assert run("queues", "--json").json == []


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ("[" * 40 + "]" * 40, "nested deeper than 32 levels"),
        (json.dumps(["x" * 600_000]), "more than 512 KiB"),
    ],
    ids=["deep", "large"],
)
def test_enqueue_of_what_cannot_travel(run: Run, redis_url: str, args: str, problem: str) -> None:
    ran = run("enqueue", "shop.send", "--args", args)
    assert ran.code == 1
    assert problem in ran.err
    assert "Traceback" not in ran.err
