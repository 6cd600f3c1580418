"""What says nothing any more is swept, page by page, and nothing else."""

from collections.abc import Iterator, Sequence

import pytest

from jobq.core.uniqueness import Rule
from jobq.runtime import sweeping
from jobq.runtime.sweeping import LANE_AGE, Sweeper
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.ops.enqueue import enqueue_keyed
from jobq.store.ops.upkeep import time_ms
from jobq.store.sync import Store
from jobq.store.wire import Answers, AnyOp
from tests.support.server import Server


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    store = Store(lambda: parse_url(server.url))
    yield store
    store.close()


def test_a_sweep_goes_on_where_the_last_one_stopped(
    store: Store, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "PAGE", 50)
    monkeypatch.setattr(sweeping, "MOST_PAGES", 2)
    store.run(enqueue_keyed("mail", "live", "a", b"", Rule()))
    notes = [word for number in range(600) for word in (f"k{number}", f"d 0 0 j{number}")]
    server.cli("HSET", keys.unique("mail"), *notes)
    server.cli("ZADD", keys.lanes("mail"), 1, "silent")
    left: list[int] = []
    trips: list[int] = []

    def exchange(ops: Sequence[AnyOp]) -> Answers:
        trips.append(len(ops))
        return store.exchange(ops)

    sweeper = Sweeper(exchange)
    while not left or left[-1] > 1:
        trips.clear()
        sweeper.sweep(["mail"], store.run(time_ms()))
        assert len(trips) <= 3
        left.append(server.cli("HLEN", keys.unique("mail")))
        assert len(left) < 50
    assert left[0] > 400
    assert server.cli("HKEYS", keys.unique("mail")) == [b"live"]
    assert server.cli("ZCARD", keys.lanes("mail")) == 1
    sweeper.sweep(["mail", "news"], store.run(time_ms()) + LANE_AGE + 1000)
    assert server.cli("ZCARD", keys.lanes("mail")) == 0


def test_a_queue_that_cannot_be_swept_holds_up_no_other(store: Store, server: Server) -> None:
    server.cli("SET", keys.unique("mail"), "text")
    server.cli("HSET", keys.unique("news"), "k", "garbage")
    Sweeper(store.exchange).sweep(["mail", "news"], 0.0)
    assert server.cli("EXISTS", keys.unique("news")) == 0
