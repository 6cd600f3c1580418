"""What real workers count: every end of a job once, and how long it waited and ran."""

from datetime import timedelta

from jobq.client.desk import Desk
from jobq.client.numbers import Numbers
from jobq.core.tally import Tally
from tests.scenario.ground import Ground

JOBS = """
@app.job
def good(n):
    time.sleep(n)

@app.job(retries=1, backoff=0)
def bad(n):
    raise ValueError("no")

@app.job(retries=1, backoff=0)
async def abad(n):
    raise ValueError("no")

@app.job
async def agood(n):
    await asyncio.sleep(n)

@app.job(retries=1, backoff=0)
def once(n):
    if current_job().attempt == 1:
        raise ValueError("once")

@app.job
def off(n):
    mark = os.environ["TRACE"] + ".snoozed"
    if not os.path.exists(mark):
        open(mark, "w").close()
        raise Snooze(0.01)

@app.job(expires="5m")
def late(n):
    pass
"""


def read(ground: Ground) -> dict[str, Tally]:
    totals = Numbers(ground.app.store).totals()
    return {job.removeprefix("jobs."): tally for (_, job), tally in totals.items()}


def of(tally: Tally) -> dict[str, int]:
    return {name: number for name, number in tally.counters.items() if number}


def test_every_end_is_counted_once_by_its_job_function(ground: Ground) -> None:
    ground.write("from jobq import Snooze", JOBS)
    ground.put("jobs.good", [(0.0,)] * 20)
    ground.send("jobs.good", 0.11)
    for name in ("bad", "once", "off", "abad"):
        ground.send(f"jobs.{name}", 1)
    ground.put("jobs.agood", [(0.02,)] * 5)
    ground.put("jobs.late", [(1,)], headers={"e": 0.001})
    cancelled = ground.send("jobs.good", 9.0)
    assert Desk(ground.app.store, ground.app.codec).cancel(cancelled.id)
    ground.burst("--concurrency", "10")

    found = read(ground)
    assert {name: of(tally) for name, tally in found.items()} == {
        "good": {"enqueued": 22, "started": 21, "succeeded": 21, "cancelled": 1},
        "bad": {"enqueued": 1, "started": 2, "failed": 2, "retried": 1, "dead": 1},
        "abad": {"enqueued": 1, "started": 2, "failed": 2, "retried": 1, "dead": 1},
        "once": {"enqueued": 1, "started": 2, "failed": 1, "retried": 1, "succeeded": 1},
        "off": {"enqueued": 1, "started": 2, "snoozed": 1, "succeeded": 1},
        "agood": {"enqueued": 5, "started": 5, "succeeded": 5},
        "late": {"enqueued": 1, "expired": 1, "dead": 1},
    }
    good, agood = found["good"], found["agood"]
    assert good.runs.count == 21
    assert good.waits.count == 21
    assert 0.11 <= good.runs.seconds < 5
    assert 0.1 <= (good.runs.percentile(100) or 0) <= 5
    assert agood.runs.counts[:7] == (0,) * 7, "none of them took less than 20 ms"
    assert found["bad"].waits.count == 1, "only the first start is waited for"
    assert 0 < good.waits.seconds / 21 < 60

    numbers = Numbers(ground.app.store)
    since = Desk(ground.app.store, ground.app.codec).now() - timedelta(minutes=5)
    for step in ("minute", "hour"):
        (sums,) = numbers.grouped(since=since, step=step, by=())
        assert sums.tally.counters == sum(found.values(), Tally()).counters
