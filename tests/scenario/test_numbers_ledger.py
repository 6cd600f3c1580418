"""Whatever is killed, the numbers agree with a ledger that knows the truth."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

import pytest

from jobq.client.desk import Desk
from jobq.client.numbers import Numbers
from jobq.core.history import History
from jobq.core.letter import Letter
from jobq.core.tally import Tally, total
from jobq.store.ops import inspect
from tests.conftest import StartServer
from tests.scenario.conftest import MakeGround
from tests.scenario.ground import Ground, children, kill
from tests.support.server import Server
from tests.support.wait import wait_until

MANY = 1500

JOBS = """
@app.job(max_crashes=10)
def good(n):
    time.sleep(0.001)
    trace("ran", n)

@app.job(retries=1, backoff=0, max_crashes=10)
def bad(n):
    trace("ran", n)
    raise ValueError("no")

@app.job(retries=5, backoff=0, max_crashes=10)
def once(n):
    trace("ran", n)
    if current_job().attempt == 1:
        raise ValueError("once")

@app.job
def late(n):
    pass
"""


def read(ground: Ground) -> dict[str, Tally]:
    totals = Numbers(ground.app.store).totals(["default"])
    return {job.removeprefix("jobs."): tally for (_, job), tally in totals.items()}


def histories(ground: Ground) -> dict[str, list[History]]:
    """Return what the dead letters know of their attempts, by job function."""
    found: dict[str, list[History]] = {}
    last = "+"
    while page := ground.app.store.run(inspect.letters("default", before=last, limit=500)):
        last = f"({page[-1].entry}"
        for one in page:
            name = ground.app.codec.decode_call(one.call)[0].removeprefix("jobs.")
            found.setdefault(name, []).append(Letter.decode(one.letter).history)
    return found


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_what_is_counted_is_true_after_kills(
    start_server: StartServer, make_ground: MakeGround
) -> None:
    server = start_server({"appendfsync": "always"}, appendonly=True)
    ground = make_ground(server)
    ground.write(JOBS)
    _enqueue(ground)
    _run_and_kill(ground, server)
    _check(ground, read(ground))


def _enqueue(ground: Ground) -> None:
    for name in ("good", "bad", "once"):
        ground.put(f"jobs.{name}", [(n,) for n in range(MANY)])
    ground.put("jobs.good", [(n,) for n in range(MANY)], due=(500, 0))
    delayed = ground.put("jobs.good", [(n,) for n in range(50)], due=(3_600_000, 0))
    ground.put("jobs.late", [(n,) for n in range(30)], headers={"e": 0.001})
    desk = Desk(ground.app.store, ground.app.codec)
    assert all(desk.cancel(job_id) for job_id in delayed)


def _run_and_kill(ground: Ground, server: Server) -> None:
    first, second = (ground.worker("--lease", "3s", processes=2) for _ in range(2))
    for part in range(1, 6):
        ground.wait_traced("ran", part * 300, 60)
        kill(wait_until(lambda: children(first.pid), "it has processes", 30)[0])
        if part == 2:
            server.kill()
            server.start()
        if part == 3:
            ground.server.cli("CLIENT", "KILL", "TYPE", "normal")
        if part == 4:
            orphans = children(second.pid)
            kill(second.pid)
            for pid in orphans:
                kill(pid)
    ground.wait_empty(dead=MANY + 30, timeout=120)


def _check(ground: Ground, found: Mapping[str, Tally]) -> None:
    enqueued = {name: tally.enqueued for name, tally in found.items()}
    assert enqueued == {"good": 2 * MANY + 50, "bad": MANY, "once": MANY, "late": 30}
    assert found["good"].succeeded == 2 * MANY
    assert found["good"].cancelled == 50
    assert found["good"].dead == found["good"].failed == 0
    assert found["once"].succeeded == MANY
    assert (found["late"].expired, found["late"].dead, found["late"].started) == (30, 30, 0)
    known = histories(ground)["bad"]
    kinds = Counter(one.kind for history in known for one in history.attempts)
    assert found["bad"].dead == len(known) == MANY
    assert found["bad"].failed == kinds["failed"] + kinds["dead"]
    assert found["bad"].crashed == kinds["crashed"] == sum(one.crashes for one in known)
    # Of what a lost supervisor held nobody knows whether it ran: that uses no attempt.
    assert MANY < (started := found["bad"].started) <= kinds.total()
    # A crash of the last attempt is followed by another one, which finds that there is none.
    assert 0 <= found["bad"].retried - (started - MANY) <= found["bad"].crashed
    assert 1 <= sum(tally.crashed for tally in found.values()) <= 60
    for tally in found.values():
        assert tally.runs.count == tally.succeeded + tally.failed
        assert tally.runs.count <= tally.started <= tally.runs.count + tally.crashed
    _agree(ground, found)


def _agree(ground: Ground, found: Mapping[str, Tally]) -> None:
    """Compare with what else is counted, and with rows."""
    every = total(found.values())
    (row,) = json.loads(ground.start("jobq", "queues", "--json").check(30))
    for name in ("succeeded", "retried", "dead", "cancelled", "expired"):
        assert row["totals"][name] == every.counters[name], name
    numbers = Numbers(ground.app.store)
    since = Desk(ground.app.store, ground.app.codec).now() - timedelta(minutes=15)

    def agree() -> bool:
        sums = [numbers.grouped(since=since, step=step, by=()) for step in ("minute", "hour")]
        return all(_whole(points[0].tally) == _whole(every) for points in sums)

    assert agree()
    # Also once supervisors have moved them into rows.
    wait_until(lambda: not _fresh(ground), "all is in rows", 90)
    assert agree()
    assert read(ground) == found


def _whole(tally: Tally) -> list[object]:
    """Return all of a tally, in whole numbers."""
    times = tally.waits, tally.runs
    return [tally.counters, *((one.counts, round(one.seconds * 1000)) for one in times)]


def _fresh(ground: Ground) -> int:
    return len(ground.redis.hkeys("jobq:{default}:tally")) - 1
