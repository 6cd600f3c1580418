"""Schedules of apps that sign their calls: what is not signed makes no job."""

from collections.abc import Iterator

import pytest
from redis import Redis

from jobq import JobQ
from jobq.core.signing import SCHEDULE, signed_by
from jobq.store import keys
from jobq.store.ops import upkeep
from jobq.store.ops.enqueue import register_queue
from jobq.store.sync import Store
from tests.runtime.ticking import Supervisor, entries, made, moving_clock, travel
from tests.support.server import Server


@pytest.fixture(autouse=True)
def _moving_clock(redis: Redis) -> Iterator[None]:
    with moving_clock():
        yield
    redis.delete(keys.CLOCK)


@pytest.fixture
def one(store: Store) -> Supervisor:
    store.run(upkeep.regroup("default"))
    store.run(register_queue("default"))
    return Supervisor(store)


def work() -> None:
    """Do nothing."""


KEYS = {"one": "a secret of many bytes"}


def test_the_call_of_a_signed_app_is_checked_and_signed_for_each_job(
    server: Server, one: Supervisor, store: Store, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with JobQ(server.url, name="shop", signing_keys=KEYS) as app:
        app.job(name="work", every="1h")(work)
        app.schedules.add("forged", app.options().s("work"), every="1h")
        one.met(app).turn()
        redis.hset(keys.schedules("default"), "cforged", app.codec.encode_call("work", (666,), {}))
        travel(store, 3600)
        one.turn()
        assert app.signer is not None
        [(job_id, call)] = entries(store)
        opened = app.signer.open("default", job_id.encode(), call)
        assert app.codec.decode_call(opened)[0] == "work"
        told = [line for line in caplog.messages if "not trusted" in line]
        assert len(told) == 1
        assert "schedule=forged" in told[0]
        assert "not trusted" in app.schedules.get("forged").problem
        with JobQ(server.url) as bare:
            assert "not trusted" in bare.schedules.get("forged").problem, "as a supervisor noted"
        app.schedules.add("forged", app.options().s("work"), every="1h")  # the fix
        travel(store, 3600)
        one.turn(12)
        assert len(made(store, "forged")) >= 1
        assert app.schedules.get("forged").problem == ""


def test_a_supervisor_without_keys_leaves_signed_schedules_to_others(
    server: Server, one: Supervisor, store: Store, redis: Redis
) -> None:
    with JobQ(server.url, name="shop", signing_keys=KEYS) as app:
        app.job(name="work")(work)
        app.schedules.add("signed", app.options().s("work"), every="1h")
        one.jobs = ("work",)
        one.met(None).turn()
        travel(store, 3600)
        one.turn(12)
        assert made(store, "signed") == []
        stored = redis.hget(keys.schedules("default"), "csigned")
        assert app.signer is not None
        assert isinstance(stored, bytes)
        app.signer.open("default", f"{SCHEDULE}signed".encode(), stored)
        Supervisor(store).met(app).turn()
        assert len(made(store, "signed")) == 1


def test_what_is_not_signed_is_taken_for_a_while_and_stays_unsigned(
    server: Server, one: Supervisor, store: Store
) -> None:
    """Else who can write to Redis would be given signed calls, which are good for ever."""
    with JobQ(server.url) as stranger:
        stranger.schedules.add("theirs", stranger.options().s("work"), every="1h")
    with JobQ(server.url, name="shop", signing_keys=KEYS, accept_unsigned=True) as app:
        app.job(name="work")(work)
        one.met(app).turn()
        travel(store, 3600)
        one.turn()
        app.schedules.run_now("theirs")
        calls = [call for _, call in entries(store)]
        assert len(calls) == 2
        assert [signed_by(call) for call in calls] == ["", ""]
        assert [app.codec.decode_call(call)[0] for call in calls] == ["work", "work"]
