"""Calls that go in later, into another line, or only if there is room: all or none, and once."""

from typing import Any

import pytest

from jobq.errors import StoreError, StoreFull
from jobq.store import keys
from jobq.store.ops import enqueue, upkeep
from jobq.store.ops.enqueue import UNCERTAIN, Full, enqueue_special
from jobq.store.wire import Op
from tests.store.line import Line, everything, problems, resent
from tests.support.server import Server

LATER = (60_000, 0)


def add(*job_ids: str, line: str = "mail", **options: Any) -> Op[int | Full]:
    return enqueue_special(line, [(one, b"call of " + one.encode()) for one in job_ids], **options)


def test_delayed_jobs_wait_outside_of_the_streams(mail: Line, server: Server) -> None:
    before = mail.run(upkeep.time_ms())
    assert mail.run(add("a", "b", due=LATER)) == 2
    after = mail.run(upkeep.time_ms())
    assert mail.run(add("c", due=(0, after + 5000))) == 1
    assert problems(server) == []
    due = server.cli("ZRANGE", keys.due("mail"), 0, -1, "WITHSCORES")
    assert due[:2] == [b"dc", str(after + 5000).encode()]
    assert {due[2], due[4]} == {b"da", b"db"}
    assert before + 60_000 <= int(due[3]) == int(due[5]) <= after + 60_000
    since, letter, call = server.cli("HGET", keys.delayed("mail"), "a").split(b" ", 2)
    assert before <= int(since) <= after
    assert (letter, call) == (b"j", b"call of a")
    assert mail.read(9) == []


@pytest.mark.parametrize("due", [(0, 1), (0, 0), None], ids=["past", "now", "none"])
def test_a_time_that_is_over_means_now(mail: Line, server: Server, due: Any) -> None:
    assert mail.run(add("a", due=due or enqueue.NOW)) == 1
    assert [one.job_id for one in mail.read(9)] == [b"a"]
    assert problems(server) == []


@pytest.mark.parametrize(("line", "letter"), [("mail high", "h"), ("mail low", "l")])
def test_each_line_has_its_stream(mail: Line, server: Server, line: str, letter: str) -> None:
    assert mail.run(add("a", line=line)) == 1
    ((entry, fields),) = server.cli("XRANGE", keys.jobs(line), "-", "+")
    assert fields == [b"a", b"call of a"]
    assert server.cli("HGET", keys.index("mail"), "a") == letter.encode() + entry
    assert mail.run(add("b", line=line, due=LATER)) == 1
    assert server.cli("HGET", keys.delayed("mail"), "b").split(b" ", 2)[1] == letter.encode()
    assert problems(server) == []


@pytest.mark.parametrize("due", [enqueue.NOW, LATER], ids=["now", "later"])
def test_a_resend_adds_nothing(mail: Line, server: Server, due: Any) -> None:
    op = add("a", "b", due=due, line="mail low")
    assert mail.run(resent(op, "lane", 7)) == 2
    before = everything(server)
    assert mail.run(resent(op, "lane", 7)) == 0
    assert mail.run(resent(op, "lane", 6)) == 0
    assert everything(server) == before
    own = add("c", due=due, own=True)
    assert [mail.run(resent(own, "lane", 8)) for _ in range(2)] == [1, 1]
    assert mail.run(resent(own, "lane", 9)) == 0, "the id is taken"
    assert problems(server) == []


def test_the_queue_counts_what_is_delayed(mail: Line, server: Server) -> None:
    assert mail.run(add("a", "b", due=LATER, most=3)) == 2
    assert mail.run(add("c", "d", due=LATER, most=3)) == Full(2, 0)
    assert mail.run(add("c", line="mail high", most=3)) == 1
    assert mail.run(add("d", most=3)) == Full(3, 0)
    assert mail.run(resent(add("d", most=4), "lane", 5)) == 1
    assert mail.run(resent(add("e", most=9), "lane", 4)) == UNCERTAIN
    assert problems(server) == []


@pytest.mark.parametrize("due", [enqueue.NOW, LATER], ids=["now", "later"])
@pytest.mark.parametrize(
    "key", [keys.jobs, keys.index, keys.lanes, keys.delayed, keys.due], ids=lambda key: key.__name__
)
def test_a_wrong_type_leaves_all_as_it_was(mail: Line, server: Server, due: Any, key: Any) -> None:
    mail.run(add("a", due=due))
    server.cli("DEL", key("mail"))
    server.cli("SET", key("mail"), "text")
    before = everything(server)
    if key in {keys.delayed, keys.due} and due == enqueue.NOW:
        assert mail.run(add("b", "c", due=due)) == 2
        return
    if key is keys.jobs and due == LATER:
        assert mail.run(add("b", "c", due=due)) == 2
        return
    with pytest.raises(StoreError, match="WRONGTYPE"):
        mail.run(add("b", "c", due=due))
    assert everything(server) == before


def test_a_stream_at_its_end_leaves_all_as_it_was(mail: Line, server: Server) -> None:
    server.cli("XADD", keys.jobs("mail high"), f"{2**64 - 1}-{2**64 - 2}", "x", "y")
    before = everything(server)
    with pytest.raises(StoreError, match=r"ID|exhausted"):
        mail.run(add("a", "b", line="mail high"))
    found = everything(server)
    entries, pending = found[keys.jobs("mail high")]
    assert [fields for _, fields in entries] == [[b"x", b"y"]]
    assert {**found, keys.jobs("mail high"): (entries, pending)} == before


@pytest.mark.parametrize("due", [enqueue.NOW, LATER], ids=["now", "later"])
def test_a_full_redis_takes_none(mail: Line, server: Server, due: Any) -> None:
    mail.run(add("a", due=due))
    server.cli("CONFIG", "SET", "maxmemory", "1")
    before = everything(server)
    with pytest.raises(StoreFull):
        mail.run(add("b", due=due))
    assert everything(server) == before
    server.cli("CONFIG", "SET", "maxmemory", "0")
