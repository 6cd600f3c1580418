"""From an entry to a call, and from an outcome to the op that says so."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from jobq import JobQ
from jobq.core import result
from jobq.core.clock import SystemClock
from jobq.core.codec import Codec
from jobq.core.history import AttemptRecord, History
from jobq.core.letter import Letter
from jobq.errors import Dead, Retry, Snooze
from jobq.runtime.attempts import Attempts
from jobq.runtime.delivery import Delivery
from jobq.runtime.describe import describe, enqueued_ms, one_line
from jobq.runtime.endings import UNKNOWN_LIMIT
from jobq.runtime.inside import Inside
from jobq.runtime.item import Item
from jobq.store.wire import Op

CODEC = Codec()


def function(n: int = 1) -> int:
    return n


def make(now: float | None = None, **options: object) -> Attempts:
    app = JobQ("redis://localhost")
    app.job(name="f", **options)(function)  # type: ignore[call-overload]
    time = SystemClock().time if now is None else lambda: now
    return Attempts(
        app.registry, app.codec, consumer="me", now_ms=lambda: time() * 1000, rng=lambda: 0.5
    )


def item(
    call: bytes | None = None,
    *,
    count: int = 0,
    history: bytes | None = None,
    more: tuple[bytes, ...] = (),
) -> Item:
    blob = CODEC.encode_call("f", (), {}, None) if call is None else call
    return ("default", b"1700000000000-0", [b"id", blob, *more], count, history, 0)


def script(op: object) -> str:
    assert isinstance(op, Op)
    assert op.script is not None
    return op.script.name


def words(op: object) -> list[object]:
    assert isinstance(op, Op)
    return list(op.words)


def letter_of(op: object) -> Letter:
    """Return the dead letter that an op writes."""
    given = words(op)
    keys = given[2]
    assert isinstance(keys, int)
    blob = given[3 + keys + 6]
    assert isinstance(blob, bytes)
    return Letter.decode(blob)


def delivery(attempts: Attempts, *args: object, **kwargs: object) -> Delivery:
    made = attempts.read(item(*args, **kwargs))  # type: ignore[arg-type]
    assert isinstance(made, Delivery)
    return made


def test_a_success_with_and_without_a_result() -> None:
    attempts = make()
    entry, job_id, ttl, blob, place, name, ready, _ = attempts.done(delivery(attempts), 5)
    assert (entry, job_id, ttl, place) == (b"1700000000000-0", b"id", 300_000, 0)
    assert (name, ready) == ("f", entry)
    assert result.decode(blob, CODEC).value == 5
    quiet = make(result_ttl=0)
    assert quiet.done(delivery(quiet), object())[2:4] == (0, b"")


def test_a_failure_is_retried_and_then_buried() -> None:
    attempts = make(retries=1)
    assert script(attempts.failed(delivery(attempts), ValueError("x"))) == "retry"
    assert script(attempts.failed(delivery(attempts, count=1), ValueError("x"))) == "park"
    assert script(attempts.failed(delivery(attempts, count=2), ValueError("x"))) == "bury"
    assert script(attempts.failed(delivery(attempts), Dead("no"))) == "bury"
    assert script(attempts.failed(delivery(attempts), Retry(after=3))) == "retry"


def test_an_attempt_too_many_is_buried_unstarted() -> None:
    """Its process died at the last one."""
    attempts = make(retries=1)
    past = History().add(AttemptRecord(2, 0, "crashed", "WorkerDied", "killed"))
    op = attempts.read(item(count=3, history=past.encode()))
    assert script(op) == "bury"
    letter = letter_of(op)
    assert letter.attempts == 2
    assert letter.failure.message == "killed"


def test_an_unknown_name_is_put_back_ever_longer_and_buried_after_a_day() -> None:
    unknown = CODEC.encode_call("g", (), {}, None)
    now = 1_700_000_000.0
    for age, delay in ((0, 5_000), (60, 60_000), (3600, 300_000)):
        since = History().unknown_since(int((now - age) * 1000)).encode() if age else None
        op = make(now).read(item(unknown, count=1, history=since))
        assert script(op) == "park"
        assert delay in words(op)
        assert "u" in words(op)
    old = History().unknown_since(int((now - UNKNOWN_LIMIT - 1) * 1000)).encode()
    assert script(make(now).read(item(unknown, count=1, history=old))) == "bury"


def test_given_back_nothing_is_counted() -> None:
    attempts = make()
    first = attempts.give_back(delivery(attempts))
    assert script(first) == "retry"
    assert 0 in words(first)
    later = attempts.give_back(delivery(attempts, count=3))
    assert script(later) == "park"
    assert b"3, 2" in repr(words(later)).encode()


@given(
    blob=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.one_of(st.none(), st.integers(-10, 300), st.text(max_size=5), st.binary(max_size=5)),
            lambda inner: (
                st.lists(inner, max_size=5)
                | st.dictionaries(st.text(max_size=3), inner, max_size=3)
            ),
            max_leaves=20,
        ).map(lambda value: bytes(msgpack.packb([1, "f", [value], None, {"r": value}]))),
    ),
    job_id=st.binary(max_size=10),
    more=st.lists(st.binary(max_size=5), max_size=4),
    count=st.integers(0, 3),
    history=st.none() | st.binary(max_size=20),
)
def test_reading_never_raises(
    blob: bytes, job_id: bytes, more: list[bytes], count: int, history: bytes | None
) -> None:
    attempts = make()
    read = attempts.read(("default", b"1-0", [job_id, blob, *more], count, history, 0))
    if isinstance(read, Delivery):
        assert isinstance(attempts.failed(read, ValueError("x")), Op)
        assert isinstance(attempts.give_back(read), Op)
        read.inside = Inside(lambda _item: True)
        assert read.running_job.id == job_id.decode()


def test_an_entry_without_fields_is_buried() -> None:
    assert script(make().read(("default", b"1-0", None, 2, None, 0))) == "bury"


def test_errors_become_text_that_can_be_kept() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise SystemExit(3)

    cases: list[Callable[[], BaseException]] = [
        lambda: ValueError("caf\udce9"),
        Odd,
        lambda: ValueError("x" * 1_000_000),
        lambda: ValueError("\n"),
        KeyError,
        lambda: ExceptionGroup("many", [ValueError("a"), KeyError("b")]),
    ]
    for make_error in cases:
        failure = describe(make_error())
        result.dead(failure.error, failure.message, failure.traceback, 1)
        assert len(failure.message) <= 2000
        assert len(failure.traceback) <= 8000 * 6
        assert "\n" not in one_line(failure)


def test_when_a_job_was_enqueued_whatever_stands_there() -> None:
    assert enqueued_ms(b"5-1", b"7-0") == 5
    for odd in (b"", b"x", b"-5", b"a-b", b"9" * 20, "٣".encode()):
        assert enqueued_ms(odd, b"7-0") == 7
    assert enqueued_ms(b"x", b"%d-0" % (2**64 - 1)) == 0


#: When the entry of `item` was added, in seconds.
ADDED = 1_700_000_000.0


def test_what_has_waited_too_long_is_not_started() -> None:
    for waited, fate in ((59.9, ""), (60.0, ""), (60.1, "bury")):
        read = make(ADDED + waited, expires="1m").read(item())
        assert (script(read) if isinstance(read, Op) else "") == fate
    letter = letter_of(make(ADDED + 3700, expires="1h").read(item()))
    assert (letter.reason, letter.failure.error, letter.attempts) == ("expired", "JobExpired", 0)
    assert letter.failure.message == (
        "it waited 1 h 1 m for its first start, longer than 1 h (expires)"
    )


def test_a_call_can_expire_by_itself_or_be_dropped() -> None:
    own = CODEC.encode_call("f", (), {}, {"e": 5.0})
    assert script(make(ADDED + 6).read(item(own))) == "bury"
    never = CODEC.encode_call("f", (), {}, {"e": None})
    assert isinstance(make(ADDED + 6, expires=5).read(item(never)), Delivery)
    dropped = make(ADDED + 6, expires=5, on_expire="drop", result_ttl=9).read(item())
    assert script(dropped) == "end"
    assert words(dropped)[-5:-2] == [9000, result.expired(_waited("6 s", "5 s")), "expired"]


def _waited(long: str, limit: str) -> str:
    return f"it waited {long} for its first start, longer than {limit} (expires)"


def test_expiry_counts_from_when_it_became_ready() -> None:
    attempts = make(ADDED + 100, expires=60)
    assert script(attempts.read(item())) == "bury"
    for more in (
        (b"ready", b"1700000050000"),
        (b"first", b"1699000000000-0", b"ready", b"1700000041000"),
    ):
        assert isinstance(attempts.read(item(more=more)), Delivery)
    assert script(attempts.read(item(more=(b"ready", b"1700000039000")))) == "bury"
    assert script(attempts.read(item(more=(b"ready", b"soon")))) == "bury", "it is no time"
    given_back = item(count=1, more=(b"first", b"1700000000000-0"))
    assert script(attempts.read(given_back)) == "bury", "it was never started"


def test_what_was_started_does_not_expire() -> None:
    attempts = make(ADDED + 100, expires=60)
    first = (b"first", b"1700000000000-0")
    snoozed = History().snoozed(int(ADDED * 1000) + 1)
    crashed = History().add(
        AttemptRecord(1, int(ADDED * 1000) + 1, "crashed", "WorkerDied", "killed")
    )
    for history in (snoozed, crashed):
        assert isinstance(
            attempts.read(item(count=1, history=history.encode(), more=first)), Delivery
        )
    assert isinstance(attempts.read(item(count=2, more=first)), Delivery)
    # Those of before it was brought back from the dead letters do not count.
    before = History().add(AttemptRecord(1, int(ADDED * 1000) - 1, "failed", "E", "no"))
    revived = item(more=(b"history", before.afresh().encode()))
    assert script(attempts.read(revived)) == "bury"


def test_a_snooze_gives_the_attempt_back() -> None:
    attempts = make(ADDED)
    first = attempts.failed(delivery(attempts), Snooze("10m"))
    assert script(first) == "retry"
    assert 600_000 in words(first)
    again = attempts.failed(
        delivery(attempts, count=3), Snooze(until=datetime.fromtimestamp(ADDED + 5, UTC))
    )
    assert script(again) == "park"
    assert b"3, 2, 5000" in repr(words(again)).encode()
    broken = attempts.failed(delivery(attempts), Snooze(-1))
    assert script(broken) == "retry"
    assert b"taken for a failure" in repr(words(broken)).encode()


def test_no_retry_starts_when_its_time_is_over() -> None:
    past = History().add(AttemptRecord(1, int(ADDED * 1000), "failed", "OSError", "no"))
    later = item(count=2, history=past.encode())
    assert isinstance(make(ADDED + 10, retry_for=10).read(later), Delivery)
    buried = letter_of(make(ADDED + 10.1, retry_for=10).read(later))
    assert (buried.reason, buried.attempts) == ("retry_for is over", 1)
    assert buried.failure.error == "OSError"
    snoozed = item(count=2, history=past.snoozed(1).encode())
    assert isinstance(make(ADDED + 10.1, retry_for=10).read(snoozed), Delivery)


def test_job_functions_without_expiry_are_looked_up_once() -> None:
    """What an expiry costs, only those pay that have one."""
    app = JobQ("redis://localhost")
    app.job(name="f")(function)
    app.job(name="g", expires=5)(lambda: None)
    assert app.registry.get_plain("f") is app.registry.get("f")
    assert app.registry.get_plain("g") is None
    assert app.registry.get("g") is not None
