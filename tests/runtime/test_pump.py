"""The loop's connections: what is settled while a wait for jobs is out."""

from redis import Redis

from jobq.core.codec import Codec
from jobq.runtime.board import Board
from jobq.runtime.executors.pump import Pump
from jobq.runtime.intake import Intake
from jobq.runtime.outbox import Outbox
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.ops import fetch, settle
from jobq.store.ops.enqueue import enqueue
from jobq.store.sync import Store
from tests.support.server import Server
from tests.support.wait import await_until

ME = "me"
CALL = Codec().encode_call("jobs.short", (), {}, None)


async def test_a_late_outcome_is_refused_though_the_numbers_agree(
    server: Server, redis: Redis, store: Store
) -> None:
    """One job was taken over, and one came that we have not seen: we hold as many as Redis says."""
    outbox, board = Outbox(["default"], ME), Board()
    intake = Intake(["default"], ME, outbox, board)
    pump = Pump(
        lambda: parse_url(server.url),
        intake,
        outbox,
        board,
        consumer=ME,
        stopping=lambda: False,
    )
    try:
        await pump.connect()
        store.run(enqueue("default", "mine", CALL))
        assert await pump.fetch(1, fetch.ANY, new=True) == 1
        item = intake.waiting.popleft()
        reading = pump.start_wait(5.0)
        store.run(enqueue("default", "unseen", CALL))
        await await_until(reading.done, "the other job is here")
        lost = settle.Attempt("default", ME, item[1], b"mine")
        assert store.run(settle.release(lost, CALL, delay=60, kind=fetch.ANY))
        assert redis.xpending(keys.jobs("default"), "jobq")["pending"] == 1

        outbox.done["default"].append((item[1], b"mine", 60_000, b"late", item[5]))
        await pump.flush()

        assert redis.hget(keys.index("default"), "mine") is not None, "the job still lives"
        assert redis.get(keys.result("default", "mine")) is None
        await pump.woke(reading)
        assert len(intake.waiting) == 1
    finally:
        await pump.close()
