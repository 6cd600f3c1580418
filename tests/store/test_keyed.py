"""Uniqueness keys: who has one, for how long, and what becomes of other calls; no lock is left."""

from collections.abc import Callable
from typing import Any

import pytest

from jobq.core.lines import Priority, line_of
from jobq.core.uniqueness import Rule
from jobq.errors import StoreError, StoreFull
from jobq.store import keys
from jobq.store.ops import manage, move, settle, upkeep
from jobq.store.ops.enqueue import (
    ADDED,
    HELD,
    REPLACED,
    SIGN,
    THROTTLED,
    UNCERTAIN,
    Full,
    Landed,
    enqueue_keyed,
)
from jobq.store.ops.fetch import HELD as PAUSED
from jobq.store.wire import Op
from tests.store.line import Line, everything, ids, pairs, problems, resent, steal
from tests.support.server import Server

DONE = Rule("d")
START = Rule("s")
MINUTE = Rule("t", 60_000)
REPLACE = Rule("d", 0, "r")
DEBOUNCE = Rule("d", 0, "r", 5_000, 50_000)
TWICE = Rule("-", passes=2, window=60_000)

Keyed = Op[Landed | Full | int]


def add(
    job_id: str, rule: Rule = DONE, key: str = "k", priority: Priority = "normal", **more: Any
) -> Keyed:
    call = b"call of " + job_id.encode()
    return enqueue_keyed(line_of("mail", priority), key, job_id, call, rule, **more)


def notes(server: Server) -> dict[str, str]:
    return pairs(server.cli("HGETALL", keys.unique("mail")))


def place(server: Server, job_id: str) -> str:
    where: bytes = server.cli("HGET", keys.index("mail"), job_id) or b""
    return where[:1].decode()


def waits(server: Server, job_id: str) -> tuple[int, str, bytes]:
    """Return of a replaceable or delayed job: in how many ms it is due, its line, its call."""
    member = place(server, job_id) + job_id
    now = server.cli("TIME")
    at = int(server.cli("ZSCORE", keys.due("mail"), member))
    _, letter, call = server.cli("HGET", keys.delayed("mail"), job_id).split(b" ", 2)
    return at - int(now[0]) * 1000 - int(now[1]) // 1000, letter.decode(), call


# ---------------------------------------------------------------------------- until when


def test_a_job_has_its_key_until_it_is_done(mail: Line, server: Server) -> None:
    assert mail.run(add("a")) == (ADDED, "a")
    assert mail.run(add("b")) == (HELD, "a")
    assert mail.run(add("c", key="other")) == (ADDED, "c")
    (a, c) = mail.read(2)
    assert mail.run(add("b")) == (HELD, "a"), "it runs"
    assert mail.fail(a, delay=60)
    assert mail.run(add("b")) == (HELD, "a"), "it waits for its retry"
    entry = server.cli("HGET", keys.index("mail"), "a")[1:]
    server.cli("ZADD", keys.due("mail"), 1, b"?" + entry)
    (a,) = mail.claim()
    assert mail.run(add("b")) == (HELD, "a"), "it runs again"
    assert mail.finish(a)
    assert mail.settle([c]) == []
    assert mail.run(add("b")) == (ADDED, "b")
    assert problems(server) == []


def test_a_job_has_its_key_until_it_starts(mail: Line, server: Server) -> None:
    assert mail.run(add("a", START)) == (ADDED, "a")
    assert mail.run(add("b", START)) == (HELD, "a")
    (a,) = mail.read()
    assert mail.release(a)
    assert mail.run(add("b", START)) == (HELD, "a"), "it was given back, never started"
    (a,) = mail.claim()
    assert mail.run(add("b", START)) == (ADDED, "b")
    assert mail.fail(a)
    assert mail.run(add("c", START)) == (HELD, "b")
    assert problems(server) == []


def test_a_retry_that_was_started_has_no_key_until_start(mail: Line, server: Server) -> None:
    assert mail.run(add("a", START)) == (ADDED, "a")
    (a,) = mail.read()
    assert mail.fail(a)
    assert mail.run(add("b", START)) == (ADDED, "b")


def test_a_job_has_its_key_for_a_time(mail: Line, server: Server) -> None:
    assert mail.run(add("a", MINUTE)) == (ADDED, "a")
    assert mail.settle(mail.read()) == []
    assert mail.run(add("b", MINUTE)) == (HELD, "a"), "it is done, and its minute is not over"
    mode, until, since, job_id = notes(server)["k"].split()
    assert (mode, int(until) - int(since), job_id) == ("t", 60_000, "a")
    server.cli("HSET", keys.unique("mail"), "k", f"t {int(until) - 60_001} {since} a")
    assert mail.run(add("b", MINUTE)) == (ADDED, "b")
    assert notes(server).keys() == {"k", "@b"}


@pytest.mark.parametrize("rule", [DONE, START, MINUTE], ids=["done", "start", "time"])
def test_a_dead_letter_has_no_key(mail: Line, server: Server, rule: Rule) -> None:
    assert mail.run(add("a", rule)) == (ADDED, "a")
    (a,) = mail.read()
    assert mail.bury(a)
    assert mail.run(add("b", rule)) == (ADDED, "b")
    assert mail.run(add("c", rule)) == (HELD, "b")


EVERY_RULE = [DONE, START, MINUTE, REPLACE, DEBOUNCE]


@pytest.mark.parametrize("rule", EVERY_RULE, ids=str)
@pytest.mark.parametrize("due", [None, (60_000, 0)], ids=["now", "later"])
def test_a_cancelled_job_has_no_key(mail: Line, server: Server, rule: Rule, due: Any) -> None:
    if due and rule.debounce:
        return
    assert mail.run(add("a", rule, due=due)) == (ADDED, "a")
    assert mail.cancel("a") == 1
    assert mail.run(add("b", rule)) == (ADDED, "b")
    assert problems(server) == []


def test_a_key_that_a_job_had_for_a_time_goes_with_it(mail: Line, server: Server) -> None:
    assert mail.run(add("a", MINUTE)) == (ADDED, "a")
    (a,) = mail.read()
    assert mail.cancel("a") == -1
    assert mail.run(add("b", MINUTE)) == (ADDED, "b"), "its cancel was asked for"
    assert mail.cancelled(a)
    (b,) = mail.read()
    assert mail.bury(b)
    assert mail.run(manage.purge("mail", "b", mail.letters()["b"]))
    assert notes(server) == {}
    assert mail.run(add("c", MINUTE)) == (ADDED, "c")


def test_a_key_is_held_by_one_that_is_delayed(mail: Line, server: Server) -> None:
    assert mail.run(add("a", START, due=(60_000, 0), priority="low")) == (ADDED, "a")
    assert waits(server, "a")[1:] == ("l", b"call of a")
    assert mail.run(add("b", START)) == (HELD, "a")
    assert mail.run(add("c", DONE)) == (HELD, "a")
    assert problems(server) == []


@pytest.mark.parametrize("priority", ["high", "low"])
def test_lines_have_the_same_keys(mail: Line, server: Server, priority: Priority) -> None:
    assert mail.run(add("a", START, priority=priority)) == (ADDED, "a")
    assert place(server, "a") == priority[0]
    assert mail.run(add("b", START)) == (HELD, "a")
    assert problems(server) == []


# ---------------------------------------------------------------------------- replace


def test_replacing_one_in_a_stream(mail: Line, server: Server) -> None:
    assert mail.run(add("a", REPLACE)) == (ADDED, "a")
    assert place(server, "a") == "j"
    assert mail.run(add("b", REPLACE, priority="high")) == (REPLACED, "a")
    assert problems(server) == []
    due, *rest = waits(server, "a")
    assert due <= 0
    assert rest == ["h", b"call of b"]
    assert mail.read(9) == []
    (a,) = mail.claim()
    assert a.job_id == b"a"
    assert mail.run(add("c", REPLACE)) == (ADDED, "c"), "it runs"
    assert mail.finish(a)
    assert problems(server) == []


def test_replacing_one_that_is_delayed_keeps_its_time(mail: Line, server: Server) -> None:
    assert mail.run(add("a", REPLACE, due=(60_000, 0))) == (ADDED, "a")
    assert mail.run(add("b", REPLACE)) == (REPLACED, "a")
    due, *rest = waits(server, "a")
    assert 50_000 < due <= 60_000
    assert rest == ["j", b"call of b"]
    assert place(server, "a") == "q"
    assert mail.run(add("c", REPLACE, due=(90_000, 0))) == (REPLACED, "a")
    assert 80_000 < waits(server, "a")[0] <= 90_000
    assert mail.run(add("d", REPLACE, due=(0, 1))) == (REPLACED, "a")
    assert waits(server, "a")[0] < 0
    assert problems(server) == []


def test_replacing_one_that_waits_for_its_retry(mail: Line, server: Server) -> None:
    assert mail.run(add("a", REPLACE)) == (ADDED, "a")
    assert mail.fail(mail.read()[0], delay=60, history=b"history")
    assert mail.run(add("b", REPLACE)) == (REPLACED, "a")
    due, _, call = waits(server, "a")
    assert 50_000 < due <= 60_000, "its backoff counts all the same"
    assert call == b"call of b"
    assert problems(server) == []
    assert mail.run(add("c", REPLACE, due=(0, 1))) == (REPLACED, "a")
    (a,) = mail.claim()
    assert a.count == 1
    assert mail.look("a").history == b"history"
    assert mail.finish(a)
    assert problems(server) == []


def test_replacing_one_whose_function_is_paused(mail: Line, server: Server) -> None:
    assert mail.run(add("a", REPLACE)) == (ADDED, "a")
    (a,) = mail.read()
    assert mail.run(settle.release(a, b"call of a", delay=0.0, kind=PAUSED))
    assert mail.run(add("b", REPLACE)) == (REPLACED, "a")
    assert waits(server, "a")[0] <= 0
    assert problems(server) == []


@pytest.mark.parametrize("again", ["fail", "release"])
def test_one_that_was_replaced_while_it_ran_does_not_wait_again(
    mail: Line, server: Server, again: str
) -> None:
    assert mail.run(add("a", REPLACE)) == (ADDED, "a")
    (a,) = mail.read()
    assert mail.run(add("b", REPLACE)) == (ADDED, "b")
    assert getattr(mail, again)(a)
    assert mail.look("a").state == "cancelled"
    assert mail.run(add("c", REPLACE)) == (REPLACED, "b")
    (b,) = mail.claim()
    assert mail.run(add("d", DEBOUNCE)) == (ADDED, "d")
    assert getattr(mail, again)(b)
    assert mail.look("b").state == "cancelled"
    assert place(server, "d") == "q"
    assert mail.count().totals["cancelled"] == 2
    assert problems(server) == []


def test_one_that_was_replaced_while_it_ran_may_succeed(mail: Line, server: Server) -> None:
    assert mail.run(add("a", REPLACE)) == (ADDED, "a")
    (a,) = mail.read()
    assert mail.run(add("b", REPLACE)) == (ADDED, "b")
    assert mail.settle([a]) == []
    assert problems(server) == []
    (b,) = mail.read()
    assert mail.run(add("c", REPLACE)) == (ADDED, "c")
    steal(server, b)
    assert mail.settle([b]) == [b.entry]
    assert problems(server) == []


def test_debounce_pushes_the_job_back(mail: Line, server: Server) -> None:
    assert mail.run(add("a", DEBOUNCE)) == (ADDED, "a")
    due, *rest = waits(server, "a")
    assert 4_000 < due <= 5_000
    assert rest == ["j", b"call of a"]
    server.cli("ZADD", keys.due("mail"), 1, "qa")
    assert mail.run(add("b", DEBOUNCE)) == (REPLACED, "a")
    due, _, call = waits(server, "a")
    assert 4_000 < due <= 5_000
    assert call == b"call of b"
    assert problems(server) == []


def test_debounce_pushes_back_only_so_far(mail: Line, server: Server) -> None:
    assert mail.run(add("a", DEBOUNCE)) == (ADDED, "a")
    for ago, least, most in ((46_000, 3_000, 4_000), (60_000, -11_000, -9_000)):
        since = int(server.cli("TIME")[0]) * 1000 - ago
        server.cli("HSET", keys.unique("mail"), "k", f"d 0 {since} a")
        assert mail.run(add("b", DEBOUNCE)) == (REPLACED, "a")
        assert least <= waits(server, "a")[0] <= most, "from the first call on, not the last one"
        assert mail.run(add("b", DEBOUNCE)) == (REPLACED, "a")
        assert least - 1000 <= waits(server, "a")[0] <= most
    (a,) = mail.claim()
    assert mail.run(add("c", DEBOUNCE)) == (ADDED, "c")
    assert 4_000 < waits(server, "c")[0] <= 5_000, "another burst"
    assert mail.finish(a)
    assert problems(server) == []


# ---------------------------------------------------------------------------- throttle


def test_throttle_lets_so_many_pass_in_any_window(mail: Line, server: Server) -> None:
    assert mail.run(add("a", TWICE)) == (ADDED, "a")
    assert mail.settle(mail.read()) == []
    assert mail.run(add("b", TWICE)) == (ADDED, "b")
    assert mail.run(add("c", TWICE)) == (THROTTLED, "b")
    until, last, _, second = notes(server)["k~"].split()
    assert (int(until), last) == (int(second) + 60_000, "b")
    assert "k" not in notes(server)

    def aged(first_ago: int, second_ago: int) -> str:
        now = int(server.cli("TIME")[0]) * 1000
        return f"{until} b {now - first_ago} {now - second_ago}"

    server.cli("HSET", keys.unique("mail"), "k~", aged(50_000, 10_000))
    assert mail.run(add("c", TWICE)) == (THROTTLED, "b")
    server.cli("HSET", keys.unique("mail"), "k~", aged(61_000, 10_000))
    assert mail.run(add("c", TWICE)) == (ADDED, "c")
    assert mail.run(add("d", TWICE)) == (THROTTLED, "c")
    assert mail.run(add("d", TWICE, key="other")) == (ADDED, "d")
    assert len(notes(server)["k~"].split()) == 4


def test_a_clock_that_was_set_back_by_far_keeps_no_key(mail: Line, server: Server) -> None:
    """Redis was a year ahead for a moment: nothing is refused for a year because of that."""
    year = int(server.cli("TIME")[0]) * 1000 + 365 * 86_400_000
    assert mail.run(add("a", TWICE)) == (ADDED, "a")
    server.cli("HSET", keys.unique("mail"), "k~", f"{year + 60_000} a {year} {year}")
    assert mail.run(add("b", TWICE)) == (ADDED, "b")
    assert mail.run(add("c", MINUTE, "m")) == (ADDED, "c")
    server.cli("HSET", keys.unique("mail"), "m", f"t {year + 60_000} {year} c")
    assert mail.run(add("d", MINUTE, "m")) == (ADDED, "d")
    assert mail.run(add("e", MINUTE, "m")) == (HELD, "d")


def test_throttle_and_a_lock_go_together(mail: Line, server: Server) -> None:
    both = Rule("d", passes=2, window=60_000)
    assert mail.run(add("a", both)) == (ADDED, "a")
    assert mail.run(add("b", both)) == (HELD, "a")
    assert mail.settle(mail.read()) == []
    assert mail.run(add("b", both)) == (ADDED, "b")
    assert mail.settle(mail.read()) == []
    assert mail.run(add("c", both)) == (THROTTLED, "b")


# ---------------------------------------------------------------------------- room, signatures


def test_a_full_queue_takes_no_new_job_and_lets_calls_be_replaced(
    mail: Line, server: Server
) -> None:
    assert mail.run(add("a", REPLACE, most=1)) == (ADDED, "a")
    assert mail.run(add("b", REPLACE, key="other", most=1)) == Full(1, 0)
    assert mail.run(add("b", REPLACE, most=1)) == (REPLACED, "a")
    assert mail.run(add("b", DONE, most=1)) == (HELD, "a")


def test_a_signed_call_is_signed_for_the_job_that_it_becomes(mail: Line, server: Server) -> None:
    assert mail.run(add("a", REPLACE, signed_for="a")) == (ADDED, "a")
    before = everything(server)
    assert mail.run(add("b", REPLACE, signed_for="b")) == (SIGN, "a")
    assert everything(server) == before
    assert mail.run(add("b", REPLACE, signed_for="a")) == (REPLACED, "a")
    (a,) = mail.claim()
    assert mail.run(add("c", REPLACE, signed_for="a")) == (SIGN, "c"), "it runs by now"
    assert mail.run(add("c", REPLACE, signed_for="c")) == (ADDED, "c")
    assert mail.run(add("d", DONE, signed_for="d")) == (HELD, "c")
    assert mail.finish(a)
    assert problems(server) == []


# ---------------------------------------------------------------------------- resends


@pytest.mark.parametrize("rule", [DONE, START, MINUTE, REPLACE, DEBOUNCE, TWICE])
@pytest.mark.parametrize("due", [None, (60_000, 0)], ids=["now", "later"])
def test_a_resend_of_what_was_added(mail: Line, server: Server, rule: Rule, due: Any) -> None:
    if due and rule.debounce:
        return
    op = add("a", rule, due=due)
    assert mail.run(resent(op, "lane", 5)) == (ADDED, "a")
    before = everything(server)
    assert mail.run(resent(op, "lane", 5)) == (ADDED, "a")
    assert mail.run(resent(add("b", rule, key="other"), "lane", 6)) == (ADDED, "b")
    assert mail.run(resent(op, "lane", 5)) == (ADDED, "a"), "not the last call of its lane"
    server.cli("HDEL", keys.index("mail"), "b")
    assert {**everything(server)}.keys() >= before.keys()


@pytest.mark.parametrize("rule", [DONE, START, MINUTE, REPLACE, TWICE])
def test_a_resend_of_what_was_added_and_is_done(mail: Line, server: Server, rule: Rule) -> None:
    op = add("a", rule)
    assert mail.run(resent(op, "lane", 5)) == (ADDED, "a")
    assert mail.settle(mail.read()) == []
    assert mail.run(resent(op, "lane", 5)) == (ADDED, "a")
    assert mail.read() == []
    assert problems(server) == []


@pytest.mark.parametrize("rule", [REPLACE, DEBOUNCE])
def test_a_resend_of_what_has_replaced(mail: Line, server: Server, rule: Rule) -> None:
    assert mail.run(resent(add("a", rule), "one", 5)) == (ADDED, "a")
    older, newer = add("b", rule), add("c", rule)
    assert mail.run(resent(older, "one", 6)) == (REPLACED, "a")
    assert mail.run(resent(newer, "two", 6)) == (REPLACED, "a")
    before = everything(server)
    assert mail.run(resent(older, "one", 6)) == (REPLACED, "a")
    assert everything(server) == before, "the newest call wins"
    assert waits(server, "a")[2] == b"call of c"
    assert mail.run(resent(add("d", rule), "one", 7)) == (REPLACED, "a")
    assert mail.run(resent(older, "one", 6)) == (REPLACED, "a")
    assert waits(server, "a")[2] == b"call of d"


def test_a_resend_of_what_was_held_is_judged_anew(mail: Line, server: Server) -> None:
    assert mail.run(resent(add("a"), "one", 5)) == (ADDED, "a")
    held = add("b")
    assert [mail.run(resent(held, "one", 6)) for _ in range(2)] == [(HELD, "a")] * 2
    assert mail.settle(mail.read()) == []
    assert mail.run(resent(held, "one", 6)) == (ADDED, "b")
    assert mail.run(resent(held, "one", 6)) == (ADDED, "b")


def test_a_resend_from_before_the_last_call_of_its_lane(mail: Line, server: Server) -> None:
    assert mail.run(resent(add("a"), "one", 5)) == (ADDED, "a")
    assert mail.run(resent(add("b"), "one", 6)) == (HELD, "a")
    assert mail.run(resent(add("z", key="z"), "one", 9)) == (ADDED, "z")
    assert mail.run(resent(add("b"), "one", 6)) == (HELD, "a")
    raises = add("b", Rule("d", 0, "x"))
    assert mail.run(resent(raises, "one", 6)) == UNCERTAIN, "it may have been added, and be done"
    assert mail.settle(mail.read(2)) == []
    assert mail.run(resent(add("b"), "one", 6)) == UNCERTAIN
    assert mail.run(resent(add("b", TWICE, key="y"), "one", 6)) == UNCERTAIN
    assert mail.read() == []


def test_a_resend_of_a_refusal_is_judged_anew(mail: Line, server: Server) -> None:
    assert mail.run(resent(add("a", TWICE), "one", 5)) == (ADDED, "a")
    assert mail.run(resent(add("b", TWICE), "one", 6)) == (ADDED, "b")
    assert [mail.run(resent(add("c", TWICE), "one", 7)) for _ in range(2)] == [(THROTTLED, "b")] * 2
    assert mail.run(resent(add("z", key="z"), "one", 8)) == (ADDED, "z")
    assert mail.run(resent(add("c", TWICE), "one", 7)) == (THROTTLED, "b")


# ---------------------------------------------------------------------------- notes, and garbage


def test_stale_notes_go_as_calls_come(mail: Line, server: Server) -> None:
    for number in range(40):
        assert mail.run(add(f"a{number}", MINUTE if number % 2 else DONE, key=f"k{number}"))
    server.cli("HSET", keys.unique("mail"), "garbage", "\xff", "k", "d", "t~", "1 a 1", "@no", "k")
    for attempt in mail.read(40):
        assert mail.bury(attempt)
    names = {f"n{number}" for number in range(200)}
    for name in names:
        assert mail.run(add(f"job-{name}", key=name)) == (ADDED, f"job-{name}")
    assert names <= notes(server).keys()
    assert len(notes(server).keys() - names) < 32, "of 64 that were stale"


def test_supervisors_sweep_stale_notes(mail: Line, server: Server) -> None:
    for number in range(600):
        mail.run(add(f"a{number}", MINUTE if number % 2 else DONE, key=f"k{number}"))
    mail.run(add("t", TWICE, key="t"))
    server.cli("HSET", keys.unique("mail"), "g", "\xff", "k", "d", "o~", "1 a 1", "@no", "k")
    live = notes(server).keys() - {"g", "k", "o~", "@no"}
    cursor, swept, pages = "0", 0, 0
    while pages == 0 or cursor != "0":
        cursor, count = mail.run(upkeep.sweep_unique("mail", cursor, 100))
        swept, pages = swept + count, pages + 1
    assert notes(server).keys() == live
    assert (swept, pages > 3) == (4, True)
    for attempt in mail.read(1000):
        assert mail.bury(attempt)
    while True:
        cursor, _ = mail.run(upkeep.sweep_unique("mail", cursor, 100))
        if cursor == "0":
            break
    server.cli("HDEL", keys.unique("mail"), "t~")
    left = {name for name in notes(server) if not name.startswith("@")}
    assert left == set()
    mail.run(upkeep.sweep_unique("mail", "0", 10_000))
    assert notes(server) == {}
    assert mail.run(upkeep.sweep_unique("news", "0", 10)) == ("0", 0)


@pytest.mark.parametrize(
    "note",
    ["", "\xff", "d", "d 0 0", "z 0 0 a", "d x 0 a", "d 0 0 a b", "d -1 0 a", "t 9e999 0 a"],
)
def test_garbage_in_a_note_is_no_lock(mail: Line, server: Server, note: str) -> None:
    mail.add("a")
    server.cli("HSET", keys.unique("mail"), "k", note, "k~", note)
    assert mail.run(add("b", Rule("d", passes=1, window=1000))) == (ADDED, "b")
    assert mail.run(add("c")) == (HELD, "b")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["", "j", "jx", "r", "rx", "q", "d", "z9", "h1-1", "r1-1"])
@pytest.mark.parametrize("rule", [DONE, START, REPLACE, DEBOUNCE])
def test_garbage_in_the_index(mail: Line, server: Server, where: str, rule: Rule) -> None:
    server.cli("HSET", keys.index("mail"), "a", where)
    server.cli("HSET", keys.unique("mail"), "k", "d 0 0 a")
    answer = mail.run(add("b", rule))
    assert isinstance(answer, Landed)
    assert answer in {(ADDED, "b"), (HELD, "a"), (REPLACED, "a")}


KEYS: tuple[Callable[[str], str], ...] = (
    keys.jobs,
    keys.index,
    keys.lanes,
    keys.unique,
    keys.delayed,
    keys.due,
    keys.retries,
    keys.cancels,
)


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.__name__)
@pytest.mark.parametrize("state", ["new", "stream", "delayed", "retry", "running"])
def test_a_wrong_type_leaves_all_as_it_was(
    mail: Line, server: Server, key: Callable[[str], str], state: str
) -> None:
    if state != "new":
        mail.run(add("a", REPLACE, due=(60_000, 0) if state == "delayed" else None))
    if state in {"retry", "running"}:
        (a,) = mail.read()
        if state == "retry":
            mail.fail(a)
    server.cli("DEL", key("mail"))
    server.cli("SET", key("mail"), "text")
    before = everything(server)
    if key is keys.jobs and state in {"delayed", "retry"}:
        assert mail.run(add("b", REPLACE)) == (REPLACED, "a"), "this way does not go there"
        return
    with pytest.raises(StoreError, match="WRONGTYPE"):
        mail.run(add("b", REPLACE))
    assert everything(server) == before


@pytest.mark.parametrize("state", ["new", "stream", "delayed", "retry", "running"])
def test_a_full_redis_takes_no_call(mail: Line, server: Server, state: str) -> None:
    if state != "new":
        mail.run(add("a", REPLACE, due=(60_000, 0) if state == "delayed" else None))
    if state in {"retry", "running"}:
        (a,) = mail.read()
        if state == "retry":
            mail.fail(a)
    server.cli("CONFIG", "SET", "maxmemory", "1")
    before = everything(server)
    with pytest.raises(StoreFull):
        mail.run(add("b", REPLACE))
    assert everything(server) == before
    server.cli("CONFIG", "SET", "maxmemory", "0")
    assert problems(server) == []


def test_no_group_yet(store: Any, server: Server) -> None:
    mail = Line(store.run)
    assert mail.run(add("a", REPLACE)) == (ADDED, "a")
    assert mail.run(add("b", START)) == (HELD, "a")
    assert mail.run(add("b", REPLACE)) == (REPLACED, "a")
    mail.open()
    assert ids(mail.claim()) == ["a"]


def test_a_job_that_is_replaced_while_it_is_moved_stays_with_its_new_call(mail: Line) -> None:
    """Else what the caller was told is in Redis would be gone."""
    assert mail.run(add("a", DEBOUNCE)) == (ADDED, "a")
    aside = mail.run(move.aside("mail", "a"))
    assert aside is not None
    assert mail.run(add("b", DEBOUNCE)) == (REPLACED, "a")
    assert mail.run(move.detach("mail", aside)) == move.IS_ELSEWHERE
    aside = mail.run(move.aside("mail", "a"))
    assert aside is not None
    assert aside.call == b"call of b"
    assert mail.run(move.detach("mail", aside)) == move.REMOVED
