"""Jobs that kill their process: stopped after three starts, and nobody else is harmed."""

import pytest

from tests.scenario.ground import COMMON, Ground, once_each

DEATHS = {
    "sigkill": "os.kill(os.getpid(), signal.SIGKILL)",
    "exit": "os._exit(0)",
    "segfault": "ctypes.string_at(0)",
}
#: One of each is enough in the fast suite.
FAST = {("sigkill", "sync"), ("exit", "threads"), ("segfault", "async")}
POISON = """
@app.job
{kind} poison():
    trace("poison")
    {death}
"""


@pytest.mark.parametrize(
    ("death", "kind"),
    [
        pytest.param(death, kind, marks=[] if fast else [pytest.mark.slow])
        for death in DEATHS
        for kind in ("sync", "threads", "async")
        for fast in [(death, kind) in FAST]
    ],
)
def test_poison_stops_and_takes_nobody_along(ground: Ground, death: str, kind: str) -> None:
    healthy = "jobs.ashort" if kind == "async" else "jobs.short"
    ground.write(
        COMMON,
        POISON.format(kind="async def" if kind == "async" else "def", death=DEATHS[death]),
        """
@app.job
async def ashort(n):
    trace("ran", n)
    await asyncio.sleep(0.01)
"""
        if kind == "async"
        else "",
    )
    ground.put(healthy, [(n,) for n in range(100)])
    (poison,) = ground.put("jobs.poison", [()])
    ground.put(healthy, [(n,) for n in range(100, 200)])

    options = ("--threads", "4") if kind == "threads" else ()
    worker = ground.burst("--processes", "2", *options)

    assert len(ground.traced("poison")) == 3
    (letter,) = ground.dead()
    assert (letter["id"], letter["reason"]) == (poison, "its worker died 3 times")
    assert letter["attempts"] == 3
    how = "exit code 0" if death == "exit" else "killed by SIG"
    assert how in letter["error"] or how in str(letter), letter
    ran = ground.ran()
    assert set(ran) == set(range(200))
    assert ground.left() == 1
    assert "Traceback" not in worker.text


def test_a_poison_job_without_retries_is_started_once(ground: Ground) -> None:
    ground.write(
        COMMON,
        """
@app.job(retries=0)
def poison():
    trace("poison")
    os._exit(3)
""",
    )
    handle = ground.send("jobs.poison")
    ground.burst("--processes", "1")
    assert len(ground.traced("poison")) == 1
    (letter,) = ground.dead()
    assert letter["id"] == handle.id
    assert "exit code 3" in str(letter)


@pytest.mark.slow
def test_poison_among_many_queues_does_not_hold_the_others(ground: Ground) -> None:
    """Five kinds at once: every one is buried, and the healthy ones need no second attempt."""
    ground.write(COMMON, POISON.format(kind="def", death="os._exit(1)"))
    ground.put("jobs.poison", [()] * 3)
    ground.put("jobs.short", [(n,) for n in range(200)])
    ground.burst("--processes", "2")
    assert len(ground.traced("poison")) == 9
    dead = ground.dead()
    assert len(dead) == 3
    assert len({one["group"] for one in dead}) == 1, "they all died of the same"
    assert ground.ran() == once_each(200)


@pytest.mark.slow
def test_while_suspects_wait_nobody_spins(ground: Ground) -> None:
    """All isolated workers are busy with suspects that take long; the other workers are idle."""
    ground.write(
        """
@app.job
def suspect(n):
    trace("started", n, current_job().attempt)
    if current_job().attempt == 1:
        os._exit(1)
    time.sleep(3)
    trace("ended", n)
"""
    )
    ground.put("jobs.suspect", [(n,) for n in range(3)])
    worker = ground.worker("--processes", "1")
    ground.wait_traced("ended", 1)
    before = int(ground.redis.info("commandstats")["cmdstat_evalsha"]["calls"])
    ground.wait_traced("ended", 2)
    calls = int(ground.redis.info("commandstats")["cmdstat_evalsha"]["calls"]) - before
    # Some tens a second while it is woken again and again; it was 1,000.
    assert calls < 3 * 60, f"{calls} scripts in three seconds"
    worker.kill_group()
