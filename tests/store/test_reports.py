"""What attempts report: the fence, once and no more, the caps, the TTLs."""

from dataclasses import replace

import pytest

from jobq.core.reports import CHECKPOINT_MS, KEPT_MS, MOST_BYTES, MOST_CHUNKS, MOST_LINES
from jobq.errors import StoreError
from jobq.store import keys
from jobq.store.ops import enqueue, inspect, manage, reports
from jobq.store.ops.reports import Batch
from jobq.store.ops.settle import Attempt, settle_one
from tests.store.line import Line, problems, steal
from tests.support.server import Server

ALL = Batch("w1.1", 1, 1, (0.5, "half"), [("INFO", "hello")], [(1, b"\x01")], b"\x02")


@pytest.fixture
def attempt(mail: Line) -> Attempt:
    mail.add("a")
    [one] = mail.read(1)
    return one


def kept(mail: Line) -> tuple[object, ...]:
    """Return what is kept of job a: its progress, lines and chunks in short, its checkpoint."""
    progress = mail.run(reports.progress("mail", "a"))
    return (
        progress and (progress.fraction, progress.note, progress.attempt),
        [one.text for _, one in mail.run(reports.lines("mail", "a")) if one],
        [(one.number, one.blob) for _, one in mail.run(reports.chunks("mail", "a")) if one],
        mail.run(reports.checkpoint("mail", "a")),
    )


def test_a_batch_is_written_once(mail: Line, server: Server, attempt: Attempt) -> None:
    for _ in range(3):
        assert mail.run(reports.report(attempt, ALL))
    assert kept(mail) == ((0.5, "half", 1), ["hello"], [(1, b"\x01")], b"\x02")
    assert mail.run(reports.report(attempt, Batch("w1.1", 2, 1, chunks=[(2, b"\x03")])))
    assert kept(mail)[2] == [(1, b"\x01"), (2, b"\x03")]
    # Another start of the job counts its batches anew.
    assert mail.run(reports.report(attempt, Batch("w1.2", 1, 2, lines=[("INFO", "again")])))
    assert kept(mail)[:2] == ((0.5, "half", 1), ["hello", "again"])
    assert problems(server) == []


def test_who_has_lost_the_job_writes_nothing(mail: Line, server: Server, attempt: Attempt) -> None:
    assert not mail.run(reports.report(replace(attempt, consumer="w2"), ALL))
    assert not mail.run(reports.report(replace(attempt, count=1), ALL)), "it is not in retries"
    steal(server, attempt)
    assert not mail.run(reports.report(attempt, ALL))
    assert kept(mail) == (None, [], [], None)


def test_all_of_it_ends_by_itself(mail: Line, server: Server, attempt: Attempt) -> None:
    mail.run(reports.report(attempt, ALL))
    three = [keys.progress("mail", "a"), keys.log("mail", "a"), keys.chunks("mail", "a")]
    for key in three:
        assert KEPT_MS - 60_000 < server.cli("PTTL", key) <= KEPT_MS
    ttl = server.cli("PTTL", keys.checkpoint("mail", "a"))
    assert CHECKPOINT_MS - 60_000 < ttl <= CHECKPOINT_MS
    mail.run(reports.report(attempt, Batch("w1.1", 2, 1, last_ms=300_000)))
    for key in three:
        assert 240_000 < server.cli("PTTL", key) <= 300_000


def test_the_oldest_goes_first(mail: Line, server: Server, attempt: Attempt) -> None:
    lines = [("INFO", str(n)) for n in range(MOST_LINES + 50)]
    mail.run(reports.report(attempt, Batch("w1.1", 1, 1, lines=lines)))
    assert server.cli("XLEN", keys.log("mail", "a")) == MOST_LINES
    assert kept(mail)[1] == [str(n) for n in range(50, 150)], "the first page"
    size, number = MOST_BYTES // 8, 0
    for batch in range(2, 7):
        chunks = [(number := number + 1, bytes(size)) for _ in range(3)]
        mail.run(reports.report(attempt, Batch("w1.1", batch, 1, chunks=chunks)))
    assert [one.number for _, one in mail.run(reports.chunks("mail", "a")) if one] == list(
        range(8, 16)
    )
    for batch in range(7, 9):
        many = [(number := number + 1, b"") for _ in range(MOST_CHUNKS * 3 // 4)]
        mail.run(reports.report(attempt, Batch("w1.1", batch, 1, chunks=many)))
    assert server.cli("XLEN", keys.chunks("mail", "a")) == MOST_CHUNKS


@pytest.mark.parametrize("kind", ["progress", "log", "chunks", "checkpoint"])
def test_a_key_of_another_type_changes_nothing(
    mail: Line, server: Server, attempt: Attempt, kind: str
) -> None:
    key = getattr(keys, kind)("mail", "a")
    server.cli("SADD", key, "x")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        mail.run(reports.report(attempt, ALL))
    others = {"progress", "log", "chunks", "checkpoint"} - {kind}
    assert not any(server.cli("EXISTS", getattr(keys, one)("mail", "a")) for one in others)
    server.cli("DEL", key)


def test_an_entry_of_a_stranger_after_which_none_can_come(
    mail: Line, server: Server, attempt: Attempt
) -> None:
    for kind in ("log", "chunks"):
        words = ("a", "1", "n", "1", "v", "", "m", "strange")
        server.cli("XADD", getattr(keys, kind)("mail", "a"), f"{2**64 - 1}-{2**64 - 1}", *words)
        with pytest.raises(StoreError):
            mail.run(reports.report(attempt, ALL))
        assert server.cli("EXISTS", keys.checkpoint("mail", "a")) == 0
        page = mail.run(getattr(reports, "lines" if kind == "log" else "chunks")("mail", "a"))
        assert mail.run(reports.lines("mail", "a", page[-1][0])) == []
        if kind == "log":
            server.cli("DEL", keys.log("mail", "a"))
    assert server.cli("PTTL", keys.log("mail", "a")) > 0, "what was written before has its TTL"
    server.cli("DEL", keys.chunks("mail", "a"))


def test_a_success_forgets_the_checkpoint(mail: Line, server: Server, attempt: Attempt) -> None:
    mail.run(reports.report(attempt, ALL))
    done = (attempt.entry, attempt.job_id, 60_000, b"result", 0)
    assert not mail.run(settle_one(replace(attempt, consumer="w2"), done))
    assert kept(mail)[3] == b"\x02"
    assert mail.run(settle_one(attempt, done))
    assert kept(mail) == ((0.5, "half", 1), ["hello"], [(1, b"\x01")], None)
    assert mail.run(inspect.result("mail", "a")) == b"result"
    assert problems(server) == []


def test_a_later_success_forgets_it_too(mail: Line, attempt: Attempt) -> None:
    mail.run(reports.report(attempt, ALL))
    assert mail.fail(attempt)
    [later] = mail.claim()
    second = replace(ALL, reporter="w1.2", shown=2)
    assert not mail.run(reports.report(attempt, second)), "it waits, or runs elsewhere"
    assert mail.run(reports.report(later, second))
    assert mail.finish(later, ttl=60_000)
    assert kept(mail)[3] is None
    assert mail.run(inspect.result("mail", "a")) == b"result of a"


def test_a_new_job_of_an_id_finds_nothing_of_the_old_one(mail: Line, attempt: Attempt) -> None:
    mail.run(reports.report(attempt, ALL))
    assert not mail.run(enqueue.enqueue_unique("mail", "a", b"call"))
    assert kept(mail)[3] == b"\x02"
    mail.settle([attempt])
    assert mail.run(enqueue.enqueue_unique("mail", "a", b"call"))
    assert kept(mail) == (None, [], [], None)


def test_a_dead_letter_keeps_its_reports_until_it_is_purged(mail: Line, attempt: Attempt) -> None:
    mail.run(reports.report(attempt, ALL))
    assert mail.bury(attempt)
    assert kept(mail) == ((0.5, "half", 1), ["hello"], [(1, b"\x01")], b"\x02")
    assert mail.run(manage.purge("mail", "a", mail.letters()["a"]))
    assert kept(mail) == (None, [], [], None)
