"""`app.schedules` and ``function.s(...)``: what they take, refuse and tell."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from jobq import JobQ
from jobq.core.codec import Codec
from jobq.errors import (
    ArgumentError,
    CallUntrusted,
    ConfigError,
    NotEncodable,
    OptionError,
    ScheduleNotFound,
)
from jobq.store import keys
from tests.runtime.ticking import entries
from tests.support.server import Server

KEYS = {"one": "a secret of many bytes"}


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def nothing() -> None:
    """Do nothing."""


def test_a_call_is_a_value(app: JobQ, redis: Redis) -> None:
    function = app.job(name="add")(add)
    call = function.options(queue="mail", retries=7).s(1, b=2)
    assert repr(call) == "<BoundCall add in mail>"
    assert Codec().decode_call(call.encoded) == ("add", [1], {"b": 2}, {"r": 7})
    with pytest.raises(AttributeError):
        call.args = ()  # type: ignore[misc]
    first = call.delay()
    second = call.delay()
    assert first.id != second.id
    assert redis.xlen(keys.jobs("mail")) == 2
    with pytest.raises(ArgumentError):
        function.s()  # type: ignore[call-arg]
    with pytest.raises(NotEncodable):
        function.s(object())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "neither cron nor every is given; "),
        ({"overlap": "skip"}, "neither cron nor every is given beside overlap"),
        ({"every": "30s", "cron": "* * * * *"}, "both given"),
        ({"every": "1ms"}, "at least 1 s"),
        ({"cron": "0 0 30 2 *"}, "never comes"),
        ({"cron": "* * * * *", "tz": "Europe/Atlantis"}, "unknown"),
        ({"every": 60, "misfire": "never"}, "misfire"),
        ({"every": 60, "often": 1}, "often"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused_at_once(
    app: JobQ, options: dict[str, Any], complaint: str
) -> None:
    function = app.job(name="add")(add)
    with pytest.raises(OptionError, match=complaint):
        app.schedules.add("adding", function.s(1), **options)
    if "often" not in options and options:
        with pytest.raises(OptionError, match=complaint):
            app.job(**options)(add)
    assert app.schedules.list() == []


def test_what_a_schedule_cannot_do_is_refused(app: JobQ) -> None:
    with pytest.raises(OptionError, match=r"without arguments.*schedules\.add"):
        app.job(every="30s")(add)
    function = app.job(name="add")(add)
    for call in (
        function.options(job_id="mine").s(1),
        function.options(delay=5).s(1),
        function.options(at=datetime.now(UTC) + timedelta(hours=1)).s(1),
        function.options(unique="args").s(1),
    ):
        with pytest.raises(OptionError, match=r"schedules\.add\(\)"):
            app.schedules.add("adding", call, every="30s")
    with pytest.raises(OptionError, match=r"function\.s"):
        app.schedules.add("adding", function, every="30s")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="name of a schedule"):
        app.schedules.add("two words", function.s(1), every="30s")
    with pytest.raises(OptionError, match="overlap"):
        app.job(every="30s", unique="name")(nothing)
    with pytest.raises(OptionError, match="cron"):
        app.options(cron="* * * * *")  # type: ignore[call-arg]


def test_the_life_of_a_schedule(app: JobQ, redis: Redis) -> None:
    function = app.job(name="add")(add)
    app.schedules.add("adding", function.s(1, b=2), every="1h", overlap="skip")
    row = app.schedules.get("adding")
    assert (row.name, row.job, row.queue, row.rule) == ("adding", "add", "default", "every 1 h")
    assert (row.owner, row.paused_at, row.problem, row.past) == ("", None, "", ())
    first, second = row.upcoming(2)
    assert first == row.next_at
    assert second - first == timedelta(hours=1)
    assert first.minute == first.second == 0

    app.schedules.add("adding", function.s(1, b=2), every="1h", overlap="skip")
    assert app.schedules.get("adding") == row, "the same again changes nothing"
    app.schedules.add("adding", function.s(5), every="1h")
    assert app.schedules.get("adding").next_at == row.next_at, "it ticks when it did"
    app.schedules.add("adding", function.s(5), every="25h")
    assert app.schedules.get("adding").next_at != row.next_at

    assert app.schedules.pause("adding") is True
    assert app.schedules.pause("adding") is False
    paused = app.schedules.get("adding")
    assert paused.next_at is None
    assert paused.upcoming(3) == []
    assert paused.paused_at is not None
    assert app.schedules.resume("adding") is True
    assert app.schedules.resume("adding") is False

    handle = app.schedules.run_now("adding")
    [(job_id, call)] = entries(app.store)
    assert job_id == handle.id
    assert app.codec.decode_call(call)[1] == [5]
    [tick] = app.schedules.get("adding").past
    assert (tick.nominal_at, tick.job_id, tick.outcome) == (None, handle.id, "live")

    app.schedules.remove("adding")
    assert app.schedules.list() == []
    assert redis.xlen(keys.jobs("default")) == 1, "its jobs are left alone"
    assert not redis.exists(keys.past_ticks("default", "adding"))
    for act in (app.schedules.remove, app.schedules.get, app.schedules.run_now):
        with pytest.raises(ScheduleNotFound, match="adding"):
            act("adding")


def test_a_declared_schedule_waits_in_the_line_of_its_job_function(app: JobQ) -> None:
    app.job(name="a job: with spaces", every="1h", queue="mail", priority="high")(nothing)
    definition = app.registry.get("a job: with spaces")
    assert definition is not None
    assert definition.rule is not None
    assert definition.rule.line == "mail high"
    assert definition.rule.name.startswith("a_job:_with_spaces~")
    assert definition.rule.job == "a job: with spaces"


async def test_the_async_twins_do_the_same(app: JobQ) -> None:
    function = app.job(name="add")(add)
    assert (await function.s(1).adelay()).queue == "default"
    await app.schedules.aadd("adding", function.s(1), cron="0 9 * * mon-fri", tz="Europe/Madrid")
    assert [row.rule for row in await app.schedules.alist()] == ["0 9 * * mon-fri (Europe/Madrid)"]
    assert await app.schedules.apause("adding")
    assert await app.schedules.aresume("adding")
    handle = await app.schedules.arun_now("adding")
    assert [one.job_id for one in (await app.schedules.aget("adding")).past] == [handle.id]
    await app.schedules.aremove("adding")
    assert app.schedules.list() == []
    await app.aclose()


def test_a_schedule_is_in_the_queue_of_its_newest_call(app: JobQ) -> None:
    function = app.job(name="add")(add)
    app.schedules.add("adding", function.s(1), every="1h")
    app.schedules.add("adding", function.options(queue="mail").s(1), every="1h")
    assert [row.queue for row in app.schedules.list()] == ["mail"]
    app.schedules.add("adding", function.options(priority="high", queue="bulk").s(1), every="1h")
    [row] = app.schedules.list()
    assert row.queue == "bulk"
    app.schedules.run_now("adding")
    assert app.store.run(_length(keys.jobs("bulk high"))) == 1


def test_a_resend_makes_no_second_job(app: JobQ) -> None:
    """The connection dies after the script was executed, before its answer came."""
    from jobq.client.planning import run_now  # noqa: PLC0415

    function = app.job(name="add")(add)
    app.schedules.add("adding", function.s(1), every="1h")
    plan = run_now(app._producer, "adding", None)
    op = next(plan)
    while op.script is None or op.script.name != "schedule_run":
        op = plan.send(app.store.run(op))
    words = list(op.words)
    words[op.stamp_at : op.stamp_at] = ["a lane", 10]
    op.words, op.stamp_at = tuple(words), 0
    assert [app.store.run(op) for _ in range(3)] == [True, True, True]
    assert len(app.schedules.get("adding").past) == 1


def test_signed_schedules_need_the_keys(server: Server, redis: Redis) -> None:
    with JobQ(server.url, signing_keys=KEYS) as app, JobQ(server.url) as bare:
        function = app.job(name="add")(add)
        app.schedules.add("adding", function.s(1), every="1h")
        with pytest.raises(ConfigError, match="JOBQ_SIGNING_KEYS"):
            bare.schedules.run_now("adding")
        handle = app.schedules.run_now("adding")
        [(job_id, call)] = entries(app.store)
        assert job_id == handle.id
        assert app.signer is not None
        app.signer.open("default", job_id.encode(), call)
        redis.hset(keys.schedules("default"), "cadding", function.s(666).encoded)
        with pytest.raises(CallUntrusted):
            app.schedules.run_now("adding")
        assert "not trusted" in app.schedules.get("adding").problem
        bare.schedules.pause("adding")
        bare.schedules.remove("adding")


def _length(key: str) -> Any:
    from jobq.store.wire import Op  # noqa: PLC0415

    return Op(("XLEN", key), int)
