"""What becomes of the jobs of a dead worker."""

import pytest

from jobq.core.codec import Codec
from jobq.core.history import AttemptRecord, History
from jobq.core.letter import Letter
from jobq.runtime.recovery import MAX_CRASHES, recover
from jobq.store.ops import fetch
from jobq.store.ops.fetch import Held
from jobq.store.wire import Op

CALL = Codec().encode_call("f", (), {}, None)


def crashed(times: int) -> History:
    history = History()
    for number in range(1, times + 1):
        history = history.add(AttemptRecord(number, 0, "crashed", "WorkerDied", "killed"))
    return history


def taken(
    held: Held, *, in_retries: bool = False, crash: str | None = None
) -> tuple[str, list[object]]:
    op: Op[bool] | Op[int] = recover(
        "default", "dead", held, in_retries=in_retries, crash=crash, now_ms=5
    )
    return (op.script.name if op.script else str(op.words[0])), list(op.words)


def held(count: int = 1, history: bytes | None = None, *more: bytes) -> Held:
    return Held(b"1-0", [b"id", CALL, *more], count, history)


def test_what_was_not_started_is_released_uncounted() -> None:
    name, words = taken(held())
    assert name == "retry"
    assert words[-4:] == [0, 0, fetch.ANY, b""]
    name, words = taken(held(3), in_retries=True)
    assert name == "park"
    assert words[11:15] == [3, 2, 0, fetch.ANY]


def test_what_ran_is_charged_and_runs_alone_from_now_on() -> None:
    name, words = taken(held(), crash="killed by SIGKILL")
    assert name == "retry"
    assert words[-4:-1] == [1, 0, fetch.SUSPECT]
    history = History.decode(words[-1])  # type: ignore[arg-type]
    assert history.crashes == 1
    assert history.attempts[0].message == "the worker process was killed by SIGKILL"


def test_what_may_have_run_is_charged_a_crash_and_no_attempt() -> None:
    """Its host is lost: nobody knows."""
    op = recover("default", "dead", held(), in_retries=False, crash="lost", now_ms=5, certain=False)
    words = list(op.words)
    assert words[-4:-1] == [0, 0, fetch.SUSPECT]
    assert History.decode(words[-1]).crashes == 1  # type: ignore[arg-type]


def test_the_third_crash_buries() -> None:
    blob = crashed(MAX_CRASHES - 1).encode()
    name, words = taken(held(3, blob), in_retries=True, crash="killed by SIGKILL")
    assert name == "bury"
    letter = Letter.decode(words[-4])  # type: ignore[arg-type]
    assert letter.reason == "its worker died 3 times"
    assert letter.history.crashes == MAX_CRASHES


@pytest.mark.parametrize("first", [b"x", b"", b"a-b", b"99999999999999999999-1"])
def test_what_a_stranger_wrote_beside_the_call_stops_nothing(first: bytes) -> None:
    blob = crashed(MAX_CRASHES - 1).encode()
    name, _ = taken(held(3, blob, b"first", first), in_retries=True, crash="killed")
    assert name == "bury"
    name, _ = taken(held(1, b"\x00garbage", b"history", b"\xff"), in_retries=True, crash="killed")
    assert name == "park"


def test_an_entry_that_was_deleted_is_forgotten() -> None:
    for fields in (None, [], [b"one"]):
        assert taken(Held(b"1-0", fields, 1, None))[0] == "XACK"
