"""Finishing a batch: the fence, the results, and what stays in the stream."""

from collections.abc import Sequence

import pytest

from jobq.store import keys
from jobq.store.ops import inspect, settle
from jobq.store.ops.settle import LINGER, Attempt
from tests.store.line import WORKER, Line, delivered, ids, pending, problems, steal, waiting
from tests.support.server import Server

#: What a worker may say it holds when it holds three.
HELD = pytest.mark.parametrize("held", [3, 2, 4, -1], ids=["right", "less", "more", "unknown"])


@HELD
def test_nothing_is_left_when_nothing_is_pending(line: Line, server: Server, held: int) -> None:
    line.add("a", "b", "c", "d")
    assert line.settle(line.read(3), held=held) == []
    assert waiting(server) == ["d"]
    assert pending(server, line.jobs) == {}
    assert server.cli("HKEYS", keys.index("mail")) == [b"d"]
    assert line.count().totals["succeeded"] == 3
    assert problems(server) == []


@HELD
def test_what_others_have_or_nobody_has_yet_is_left(line: Line, server: Server, held: int) -> None:
    line.add("old", "a", "b", "c", "theirs", "new")
    old = line.read(1, "w2")
    mine = line.read(3)
    theirs = line.read(1, "w3")
    assert line.settle(mine, held=held) == []
    assert line.count().ready == 1
    assert line.count().running == 2
    assert ids(line.read(5)) == ["new"]
    assert line.settle(theirs, worker="w3") == []
    assert line.settle(old, worker="w2") == []
    assert problems(server) == []


@pytest.mark.parametrize("held", [3, 4, -1], ids=["right", "more", "unknown"])
def test_of_a_batch_that_was_stolen_in_part_the_rest_is_settled(
    line: Line, server: Server, held: int
) -> None:
    line.add("a", "b", "c")
    attempts = line.read(3)
    steal(server, attempts[1])
    assert line.settle(attempts, held=held, ttl=60_000) == [attempts[1].entry]
    kept = [line.run(inspect.result("mail", name)) for name in "abc"]
    assert kept == [b"result of a", None, b"result of c"]
    assert pending(server, line.jobs) == {attempts[1].entry.decode(): "w2"}
    assert server.cli("HKEYS", keys.index("mail")) == [b"b"]
    assert line.count().totals["succeeded"] == 2
    assert problems(server) == []
    stolen = [Attempt("mail", "w2", attempts[1].entry, b"b")]
    assert line.settle(stolen, held=1, worker="w2") == []
    assert pending(server, line.jobs) == {}


def test_more_is_held_than_is_settled(line: Line, server: Server) -> None:
    line.add("a", "b", "c")
    first, *rest = line.read(3)
    assert line.settle([first], held=3) == []
    assert line.settle(rest, held=2) == []
    assert waiting(server) == []
    assert problems(server) == []


@HELD
def test_a_second_time_changes_nothing(line: Line, server: Server, held: int) -> None:
    line.add("a", "b", "c")
    attempts = line.read(3)
    assert line.settle(attempts, held=3) == []
    line.add("d", "e", "f")
    entries = [one.entry for one in attempts]
    assert line.settle(attempts, held=held, ttl=60_000) == entries
    line.read(3)
    assert line.settle(attempts, held=-1, ttl=60_000) == entries
    assert waiting(server) == ["d", "e", "f"]
    assert line.run(inspect.result("mail", "a")) is None
    assert line.count().totals["succeeded"] == 3
    assert problems(server) == []


def test_results_have_their_own_time_to_live(line: Line, server: Server) -> None:
    line.add("a", "b", "c", "d")
    batch = [
        (one.entry, one.job_id, ttl, value, 0)
        for one, ttl, value in zip(
            line.read(4), (60_000, 0, 5_000, 1), (b"A", b"B", b"", b"D"), strict=True
        )
    ]
    assert line.run(settle.settle("mail", WORKER, batch)) == []
    assert server.cli("GET", keys.result("mail", "a")) == b"A"
    assert 5_000 < server.cli("PTTL", keys.result("mail", "a")) <= 60_000
    assert server.cli("EXISTS", keys.result("mail", "b")) == 0
    assert server.cli("GET", keys.result("mail", "c")) == b""
    assert 0 < server.cli("PTTL", keys.result("mail", "c")) <= 5_000
    assert server.cli("PTTL", keys.result("mail", "d")) <= 1


def test_a_thousand_in_one_batch(line: Line, server: Server) -> None:
    names = [f"job{number}" for number in range(1000)]
    line.add(*names)
    attempts = line.read(1000)
    assert ids(attempts) == names
    steal(server, attempts[500])
    assert line.settle(attempts, held=1000, ttl=60_000) == [attempts[500].entry]
    assert line.run(inspect.result("mail", "job999")) == b"result of job999"
    assert server.cli("HLEN", keys.index("mail")) == 1
    assert line.count().totals["succeeded"] == 999
    assert problems(server) == []


def test_an_old_pending_entry_makes_no_more_than_some_thousands_linger(
    mail: Line, server: Server
) -> None:
    mail.add("old")
    (old,) = mail.read(1, "w2")
    most = 0
    for number in range(LINGER // 500 + 4):
        assert _work(mail, number) == []
        most = max(most, server.cli("XLEN", mail.jobs))
    assert LINGER // 2 < most <= LINGER + 501
    assert mail.count().ready == 0
    assert problems(server) == []
    assert mail.settle([old], worker="w2") == []
    _work(mail, 0)
    assert server.cli("XLEN", mail.jobs) == 0


def test_a_lingering_entry_is_deleted_only_by_who_owned_it(mail: Line, server: Server) -> None:
    mail.add("old")
    mail.read(1, "w2")
    for number in range(LINGER // 500 + 1):
        _work(mail, number)
    mail.add("a", "b")
    attempts = mail.read(2)
    steal(server, attempts[0], "w3")
    assert mail.settle(attempts) == [attempts[0].entry]
    assert delivered(server, mail.jobs, attempts[0].entry) == ("w3", 1)
    assert problems(server) == []


def test_a_resend_behind_a_read_that_was_lost_with_it_counts_nothing(
    mail: Line, server: Server
) -> None:
    """Both were executed and unanswered: as many are pending as the worker believes to hold."""
    mail.add("a", "b", "c", "d")
    attempts = mail.read(2)
    assert mail.settle(attempts, held=2) == []
    unseen = mail.read(2)
    mail.settle(attempts, held=2)
    assert mail.count().totals["succeeded"] == 2
    assert mail.count().running == 2
    assert mail.settle(unseen, held=2) == []
    assert problems(server) == []


def _work(line: Line, number: int) -> Sequence[bytes]:
    """Enqueue, take and finish 500 jobs."""
    line.add(*(f"job{number}-{one}" for one in range(500)))
    return line.settle(line.read(500), held=500)


def test_the_same_entry_twice_in_a_batch_is_no_error(mail: Line, server: Server) -> None:
    """A worker was given it twice, for the group was lost and made anew."""
    attempt = mail.start("a")
    assert mail.settle([attempt, attempt]) == []
    mail.add("b")
    assert waiting(server)[-1] == "b"
    assert problems(server) == []
