"""From an entry to a call, and from an outcome to the op that says so."""

from collections.abc import Callable

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from jobq import JobQ
from jobq.core import result
from jobq.core.clock import SystemClock
from jobq.core.codec import Codec
from jobq.core.history import AttemptRecord, History
from jobq.core.letter import Letter
from jobq.errors import Dead, Retry
from jobq.runtime.attempts import UNKNOWN_LIMIT, Attempts
from jobq.runtime.delivery import Delivery, Item
from jobq.runtime.describe import describe, enqueued_ms, one_line
from jobq.store.wire import Op

CODEC = Codec()


def function(n: int = 1) -> int:
    return n


class Fixed:
    """A clock that stands still."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def make(now: float | None = None, **options: object) -> Attempts:
    app = JobQ("redis://localhost")
    app.job(name="f", **options)(function)  # type: ignore[call-overload]
    clock = SystemClock() if now is None else Fixed(now)
    return Attempts(app.registry, app.codec, consumer="me", clock=clock, rng=lambda: 0.5)


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


def delivery(attempts: Attempts, *args: object, **kwargs: object) -> Delivery:
    made = attempts.read(item(*args, **kwargs))  # type: ignore[arg-type]
    assert isinstance(made, Delivery)
    return made


def test_a_success_with_and_without_a_result() -> None:
    attempts = make()
    entry, job_id, ttl, blob, place = attempts.done(delivery(attempts), 5)
    assert (entry, job_id, ttl, place) == (b"1700000000000-0", b"id", 300_000, 0)
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
    letter = Letter.decode(words(op)[-4])  # type: ignore[arg-type]
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
        read.still_mine = lambda _item: True
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
