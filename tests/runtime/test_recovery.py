"""What becomes of the jobs of a dead worker."""

import pytest

from jobq.core.backoff import Fixed
from jobq.core.codec import Codec
from jobq.core.history import AttemptRecord, History
from jobq.core.letter import Letter
from jobq.core.options import Policy
from jobq.runtime.recovery import Cancelled, Crashed, Fate, Released, Terms, TimedOut, recover
from jobq.store.ops import fetch
from jobq.store.ops.fetch import Held
from jobq.store.wire import Op

MAX_CRASHES = 3
POLICIES = {
    "f": Policy(),
    "fragile": Policy(max_crashes=1, result_ttl=7.0),
    "strict": Policy(timeout=2.0, retries=1, backoff=Fixed((5.0,)), result_ttl=0.0),
    "given_up": Policy(hard_timeout=9.0, retry_on=()),
}
TERMS = Terms(lambda name: POLICIES.get(name, Policy()), grace=25.0, rng=lambda: 0.5)
RELEASED = Released()
CALL = Codec().encode_call("f", (), {}, None)


def crashed(times: int) -> History:
    history = History()
    for number in range(1, times + 1):
        history = history.add(AttemptRecord(number, 0, "crashed", "WorkerDied", "killed"))
    return history


def taken(
    held: Held, fate: Fate = RELEASED, *, in_retries: bool = False
) -> tuple[str, list[object]]:
    """Return the name of the script that takes a job, and its arguments."""
    op: Op[bool] | Op[int] = recover(
        held,
        fate,
        line="default",
        consumer="dead",
        in_retries=in_retries,
        terms=TERMS,
        now_ms=5,
    )
    if op.script is None:
        return str(op.words[0]), list(op.words)
    keys = op.words[2]
    assert isinstance(keys, int)
    return op.script.name, list(op.words[3 + keys :])


def held(count: int = 1, history: bytes | None = None, *more: bytes, call: bytes = CALL) -> Held:
    return Held(b"1-0", [b"id", call, *more], count, history)


def call_of(name: str, **headers: object) -> bytes:
    return Codec().encode_call(name, ("x",), {}, headers)


#: Where the arguments of the scripts stand: ``retry`` and ``park`` alike from ``used`` on.
USED = {"retry": 6, "park": 5}


def later(taken: tuple[str, list[object]]) -> tuple[object, object, object, History]:
    """Return what stands in a job that will run again: attempts, delay in ms, kind, history."""
    name, args = taken
    at = USED[name]
    blob = args[at + 3] if name == "retry" else args[at + 4]
    assert isinstance(blob, bytes)
    return args[at], args[at + 1], args[at + 2], History.decode(blob)


def letter(taken: tuple[str, list[object]]) -> Letter:
    name, args = taken
    assert name == "bury"
    assert isinstance(args[6], bytes)
    return Letter.decode(args[6])


def test_what_was_not_started_is_released_uncounted() -> None:
    assert later(taken(held())) == (0, 0, fetch.ANY, History())
    assert later(taken(held(3), in_retries=True)) == (2, 0, fetch.ANY, History())


def test_what_ran_is_charged_and_runs_alone_from_now_on() -> None:
    used, delay, kind, history = later(taken(held(), Crashed("killed by SIGKILL, 30 MB")))
    assert (used, delay, kind) == (1, 0, fetch.SUSPECT)
    assert history.crashes == 1
    assert history.attempts[0].message == "the worker process died: killed by SIGKILL, 30 MB"


def test_what_may_have_run_is_charged_a_crash_and_no_attempt() -> None:
    """Its host is lost: nobody knows."""
    used, delay, kind, history = later(taken(held(), Crashed("lost", certain=False)))
    assert (used, delay, kind) == (0, 0, fetch.SUSPECT)
    assert history.crashes == 1


def test_the_third_crash_buries() -> None:
    blob = crashed(MAX_CRASHES - 1).encode()
    buried = letter(taken(held(3, blob), Crashed("killed by SIGKILL, 9 MB"), in_retries=True))
    assert buried.reason == "its worker died 3 times"
    assert buried.failure.message.endswith("killed by SIGKILL, 9 MB")
    assert buried.history.crashes == MAX_CRASHES


def test_the_policy_of_the_job_says_how_many_crashes_bury() -> None:
    one = taken(held(call=call_of("fragile")), Crashed("killed"))
    assert letter(one).reason == "its worker died once"
    assert one[1][7] == 7000, "and how long the failure is kept"
    own = taken(held(call=call_of("fragile", k=1.0)), Crashed("killed"))
    assert own[1][7] == 1000, "unless the call says otherwise"
    unknown = taken(held(call=call_of("no.such")), Crashed("killed"))
    assert unknown[0] == "retry"


def test_a_hard_timeout_is_a_failed_attempt_and_no_crash() -> None:
    one = taken(held(call=call_of("strict")), TimedOut("killed by SIGKILL, 9 MB"))
    used, delay, kind, history = later(one)
    assert (used, delay, kind) == (1, 5000, fetch.ANY)
    assert history.crashes == 0
    (attempt,) = history.attempts
    assert (attempt.attempt, attempt.kind, attempt.error) == (1, "timeout", "JobTimedOut")
    assert "longer than 27 s" in attempt.message
    assert "killed by SIGKILL, 9 MB" in attempt.message


def test_the_last_hard_timeout_buries() -> None:
    fate = TimedOut("killed by SIGKILL")
    last = letter(taken(held(2, call=call_of("strict")), fate, in_retries=True))
    assert (last.reason, last.attempts) == ("attempts used up", 2)
    refused = letter(taken(held(call=call_of("given_up")), fate))
    assert refused.reason == "not retried: JobTimedOut is not in retry_on"
    assert "longer than 9 s" in refused.failure.message
    own = letter(taken(held(call=call_of("given_up", h=3.0)), fate))
    assert "longer than 3 s" in own.failure.message


def test_a_job_that_was_to_end_ends_as_cancelled() -> None:
    assert taken(held(), Cancelled())[0] == "end"
    assert taken(held(2), Cancelled(), in_retries=True)[0] == "end"
    marked = Held(b"1-0", [b"id", CALL], 1, None, mark=b"j1-0")
    assert taken(marked, Crashed("killed"))[0] == "end", "whatever its process died of"
    elsewhere = Held(b"1-0", [b"id", CALL], 1, None, mark=b"r1-0")
    assert taken(elsewhere, Crashed("killed"))[0] == "retry"


@pytest.mark.parametrize("first", [b"x", b"", b"a-b", b"99999999999999999999-1"])
def test_what_a_stranger_wrote_beside_the_call_stops_nothing(first: bytes) -> None:
    blob = crashed(MAX_CRASHES - 1).encode()
    fate = Crashed("killed")
    assert taken(held(3, blob, b"first", first), fate, in_retries=True)[0] == "bury"
    odd = held(1, b"\x00garbage", b"history", b"\xff", call=b"\xff\x00garbage")
    assert taken(odd, fate, in_retries=True)[0] == "park"
    assert taken(odd, TimedOut("killed"), in_retries=True)[0] == "park"


def test_an_entry_that_was_deleted_is_forgotten() -> None:
    for fields in (None, [], [b"one"]):
        assert taken(Held(b"1-0", fields, 1, None))[0] == "XACK"


@pytest.mark.parametrize("fate", [RELEASED, TimedOut("killed by SIGKILL")])
def test_who_has_a_crash_to_its_name_runs_alone_from_then_on(fate: Fate) -> None:
    blob = crashed(1).encode()
    assert later(taken(held(2, blob), fate, in_retries=True))[2] == fetch.SUSPECT
    assert later(taken(held(2, History().encode()), fate, in_retries=True))[2] == fetch.ANY
    assert later(taken(held(2, b"written over"), fate, in_retries=True))[2] == fetch.ANY
