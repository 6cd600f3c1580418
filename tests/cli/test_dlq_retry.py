"""`jobq dlq retry`: all at once, or a few at a time while it is watched."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.cli.burying import Undertaker
from tests.cli.conftest import Run


@contextmanager
def working(url: str, work: Callable[[Undertaker], None]) -> Iterator[None]:
    """Do what a worker does with each job that comes, in a thread."""
    stop = threading.Event()

    def loop() -> None:
        worker = Undertaker(url)
        while not stop.wait(0.005):
            try:
                work(worker)
            except ValueError:  # nothing is there
                continue
        worker.close()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_dry_run_changes_nothing(run: Run, undertaker: Undertaker) -> None:
    ids = [undertaker.dead("shop.send", n) for n in range(12)]
    ran = run("dlq", "retry", "--all", "--dry-run", "--rate", "5/s")
    assert (ran.code, ran.out) == (0, "12 dead letters would be retried. Nothing was changed.\n")
    assert ids[-1] in ran.err
    assert "… and 2 more" in ran.err
    assert run("dlq", "retry", "--all", "--dry-run", "--json").json == {"selected": 12}
    assert len(run("dlq", "list", "--json").json) == 12  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "words",
    [("--rate", "fast"), ("--rate", "0/s"), ("--stop-on-failures", "20"), ("--canary", "0")],
)
def test_what_is_no_pace_is_refused(run: Run, redis_url: str, words: tuple[str, str]) -> None:
    ran = run("dlq", "retry", "--all", "--yes", *words)
    assert ran.code == 2
    assert words[0] in ran.err


@pytest.mark.timeout(40)
def test_nothing_is_waited_for_after_the_last_one(run: Run, undertaker: Undertaker) -> None:
    undertaker.dead("shop.send", 1)
    ran = run("dlq", "retry", "--all", "--rate", "1/min", "--yes")
    assert (ran.code, ran.out) == (0, "1 dead letter retried.\n")


def test_at_a_rate(run: Run, undertaker: Undertaker) -> None:
    for n in range(25):
        undertaker.dead("shop.send", n, queue="mail" if n % 2 else "bulk")
    ran = run("dlq", "retry", "--all", "--rate", "500/s", "--yes")
    assert (ran.code, ran.out) == (0, "25 dead letters retried.\n")
    assert run("dlq", "list", "--json").json == []


def test_named_ones_that_are_missing_or_unreadable(run: Run, undertaker: Undertaker) -> None:
    good = undertaker.dead("shop.send")
    bad = undertaker.dead(call=b"garbage", letter=b"garbage")
    ran = run("dlq", "retry", good, bad, "nobody", "--rate", "9/s", "--yes", "--json")
    assert ran.code == 1
    found = ran.json
    assert isinstance(found, dict)
    [refused] = found.pop("refused")
    assert refused["id"] == bad
    assert found == {
        "selected": 3, "retried": 1, "succeeded": 0, "failed": 0, "open": 1, "gone": 0,
        "refusals": 1, "missing": ["nobody"], "stopped": None,
    }  # fmt: skip


def test_the_canary_fails(run: Run, undertaker: Undertaker, redis_url: str) -> None:
    for n in range(30):
        undertaker.dead("shop.send", n)
    with working(redis_url, lambda worker: worker.park(3600)):
        ran = run("dlq", "retry", "--all", "--canary", "5", "--stop-on-failures", "50%", "-y")
    assert ran.code == 1
    assert ran.out.startswith("5 dead letters retried.\nOf these, 0 went well, ")
    assert "of the first 5 failed again; 25 dead letters left\nfix: jobq dlq list" in ran.err
    assert len(run("dlq", "list", "-n", "99", "--json").json) == 25  # type: ignore[arg-type]


def test_after_the_canary_come_the_others(run: Run, undertaker: Undertaker, redis_url: str) -> None:
    for n in range(12):
        undertaker.dead("shop.send", n)
    with working(redis_url, lambda worker: worker.succeed(1)):
        ran = run("dlq", "retry", "--all", "--canary", "2", "--stop-on-failures", "20%", "-y")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "12 dead letters retried.\nOf these, 12 went well, 0 failed again.\n"


def test_those_that_die_again_or_vanish_have_their_say(
    run: Run, undertaker: Undertaker, redis_url: str
) -> None:
    for n in range(4):
        undertaker.dead("shop.send", n)
    with working(redis_url, lambda worker: worker.bury()):
        ran = run("dlq", "retry", "--all", "--stop-on-failures", "100%", "-y", "--json")
    assert isinstance(ran.json, dict)
    assert (ran.json["retried"], ran.json["failed"], ran.json["stopped"]) == (4, 4, None)
    assert ran.code == 0  # too few to judge


def test_nobody_works(run: Run, undertaker: Undertaker) -> None:
    undertaker.dead("shop.send")
    ran = run("dlq", "retry", "--all", "--canary", "1", "--patience", "300ms", "-y")
    assert ran.code == 1
    assert "stopped: 1 job has not ended an attempt, and none has for 0.3 s" in ran.err
