"""Pauses in Redis: what is paused, until when, and how held jobs become free again."""

import pytest

from jobq.core.pauses import EVERY_JOB, MOST_TEXT, pausing
from jobq.errors import OptionError, StoreError
from jobq.store import keys
from jobq.store.ops import fetch, pause, settle
from jobq.store.ops.settle import Attempt
from tests.store.line import Line, call_of, due_soon, ids, problems
from tests.support.server import Server
from tests.support.wait import wait_until


def hold(line: Line, attempt: Attempt, kind: str = fetch.HELD) -> None:
    """Put a job aside, as a worker does whose job function is paused."""
    op = settle.release(attempt, call_of(attempt), delay=pause.HELD_FOR, kind=kind)
    assert line.run(op)


def names(line: Line) -> list[str | None]:
    return [one.job for one in line.run(pause.look("mail")).records]


def test_a_pause_tells_of_itself_until_it_is_resumed(mail: Line) -> None:
    assert mail.run(pause.pause("mail", None, by="ada@host", reason="slow €")) == pause.PAUSED
    assert mail.run(pause.pause("mail", "mail.send", for_=60)) == pause.PAUSED
    whole, one = mail.run(pause.read("mail"))
    assert (whole.job, whole.by, whole.reason, whole.until_ms) == (None, "ada@host", "slow €", None)
    assert one.job == "mail.send"
    assert one.until_ms == one.since_ms + 60_000
    # Again: another reason and end, but it has been so since it was first paused.
    assert mail.run(pause.pause("mail", "mail.send", reason="why")) == pause.CHANGED
    _, again = mail.run(pause.look("mail")).records
    assert (again.since_ms, again.until_ms, again.reason) == (one.since_ms, None, "why")
    assert mail.run(pause.resume("mail", None))
    assert not mail.run(pause.resume("mail", None))
    assert names(mail) == ["mail.send"]
    assert mail.run(pause.resume("mail", "mail.send"))
    assert names(mail) == []


def test_one_that_is_over_is_dropped_by_who_looks(mail: Line, server: Server) -> None:
    mail.run(pause.pause("mail", None, for_=0.02))
    mail.run(pause.pause("mail", "mail.send", for_=60))
    assert names(mail) == [None, "mail.send"]
    wait_until(lambda: names(mail) == ["mail.send"], "the queue's pause is over")
    assert len(mail.run(pause.read("mail"))) == 1
    now_ms = mail.run(pause.look("mail")).now_ms
    assert mail.run(pause.pause("mail", None, until_ms=now_ms)) == pause.IS_OVER
    assert names(mail) == ["mail.send"]
    assert server.cli("HEXISTS", keys.pauses("mail"), EVERY_JOB) == 0


def test_what_nobody_can_read_is_a_pause_and_can_be_resumed(mail: Line, server: Server) -> None:
    server.cli("HSET", keys.pauses("mail"), "*", b"\xff\xfe", "x", "1 2")
    whole, other = mail.run(pause.look("mail")).records
    assert (whole.job, whole.since_ms, whole.until_ms, whole.by) == (None, 0, None, "")
    assert (other.job, other.since_ms, other.until_ms) == ("x", 1, None)  # half of one
    assert mail.run(pause.resume("mail", None))
    assert mail.run(pause.resume("mail", "x"))
    server.cli("DEL", keys.pauses("mail"))
    server.cli("SET", keys.pauses("mail"), "text")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        mail.run(pause.look("mail"))
    with pytest.raises(StoreError, match="WRONGTYPE"):
        mail.run(pause.pause("mail", None))


def test_there_are_bounds(mail: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pause, "MOST", 2)
    for job in ("a", "b"):
        assert mail.run(pause.pause("mail", job)) == pause.PAUSED
    assert mail.run(pause.pause("mail", "c")) == pause.TOO_MANY
    assert mail.run(pause.pause("mail", "a")) == pause.CHANGED
    for name in ("", "*", "a\nb"):
        with pytest.raises(OptionError, match="name of a job function"):
            pause.pause("mail", name)
    with pytest.raises(OptionError, match=f"reason has {MOST_TEXT + 1} characters"):
        pause.pause("mail", None, reason="x" * (MOST_TEXT + 1))


def test_which_pause_it_is(mail: Line) -> None:
    mail.run(pause.pause("mail", "a", reason="of a"))
    records = mail.run(pause.read("mail"))
    assert pausing(records, "b") is None
    assert pausing(records, None) is None
    mail.run(pause.pause("mail", None, reason="of all"))
    both = mail.run(pause.read("mail"))
    found = [pausing(records, "a"), pausing(both, "a"), pausing(both, None)]
    assert [one and one.reason for one in found] == ["of a", "of all", "of all"]


def test_held_jobs_are_taken_by_nobody_and_come_back_in_order(mail: Line, server: Server) -> None:
    mail.add("a", "b", "c", "d")
    for attempt, kind in zip(mail.read(4), "ppPp", strict=True):
        hold(mail, attempt, kind)
    mail.run(pause.pause("mail", "mail.send"))
    mail.run(pause.look("mail"))
    assert mail.promote().next_due_ms is None
    assert mail.claim(10, kinds="sa?!u") == []
    seen = mail.count()
    assert (seen.ready, seen.held, seen.retrying) == (4, 4, 0)
    assert mail.cancel("d") == 1
    mail.run(pause.resume("mail", "mail.send"))
    assert not mail.run(pause.look("mail")).more
    assert mail.promote().ready in {"?!", "!?"}
    assert ids(mail.claim(10, kinds="?")) == ["a", "b"]
    assert ids(mail.claim(10, kinds="!")) == ["c"]  # which runs alone, as before
    assert problems(server) == []


def test_a_worker_that_has_not_heard_of_the_resume_holds_nothing_for_ever(
    mail: Line, server: Server
) -> None:
    mail.run(pause.pause("mail", "mail.send"))
    mail.run(pause.resume("mail", "mail.send"))
    mail.promote()
    hold(mail, mail.start("a"))
    mail.run(pause.look("mail"))  # nothing is paused, so nothing is held
    mail.promote()
    assert ids(mail.claim(10)) == ["a"]
    # The same, while another job function is paused still.
    mail.run(pause.pause("mail", "mail.send"))
    mail.run(pause.pause("mail", "mail.other"))
    mail.run(pause.resume("mail", "mail.send"))
    mail.promote()
    hold(mail, mail.start("b"))

    def freed() -> bool:
        mail.run(pause.look("mail"))
        mail.promote()
        return ids(mail.claim(10)) == ["b"]

    assert due_soon(server)[-1][0] == "p"
    wait_until(freed, "it was given free once more", 2.0)
    assert names(mail) == ["mail.other"]


def test_a_pause_that_ends_by_itself_gives_free_what_was_held(mail: Line) -> None:
    mail.run(pause.pause("mail", "mail.send", for_=0.02))
    mail.run(pause.pause("mail", "mail.other"))
    hold(mail, mail.start("a"))

    def freed() -> bool:
        mail.run(pause.look("mail"))
        mail.promote()
        return ids(mail.claim(10)) == ["a"]

    wait_until(freed, "it was given free")
