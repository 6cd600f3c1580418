"""What is remembered of notes."""

from jobq.runtime.board import CANCEL, LOST, Board, note_name
from jobq.runtime.item import Item
from jobq.runtime.notes import LOOK, Notes


class Clock:
    now = 100.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def item(queue: str = "a", entry: bytes = b"1-0", count: int = 0) -> Item:
    return (queue, entry, [b"id", b"call"], count, None, 0)


def make() -> tuple[Notes, Board, Clock]:
    board, clock = Board(), Clock()
    return Notes(board, ["a", "b"], lease=30.0, clock=clock), board, clock


def test_a_cancel_is_claimed_once_and_remembered() -> None:
    notes, board, _ = make()
    board.leave_notes([(CANCEL, note_name(b"1-0", 0, "j"))])
    notes.take()
    assert notes.wanted
    assert notes.wants(item())
    assert notes.claim(item())
    assert not notes.claim(item())
    assert not notes.wants(item())
    assert notes.asked(item())


def test_entries_of_other_streams_are_others() -> None:
    notes, board, _ = make()
    name = note_name(b"1-0", 1, "r")
    board.leave_notes([(CANCEL, name), (LOST, name)])
    notes.take()
    for other in (item("b"), item("a", count=2), item("b", b"1-01", 2), item("a")):
        assert not notes.asked(other)
        assert not notes.claim(other)
        assert notes.still_mine(other)
    assert notes.claim(item("b", count=2))
    assert not notes.still_mine(item("b", count=2))


def test_what_is_not_found_is_not_looked_for_for_ever() -> None:
    notes, board, clock = make()
    board.leave_notes([(CANCEL, b"0j1-0")])
    notes.take()
    notes.forget_old()
    assert notes.wants(item())
    clock.now += LOOK + 0.1
    notes.forget_old()
    assert not notes.wanted
    assert notes.asked(item())


def test_leases_run_out_unless_they_are_renewed() -> None:
    notes, board, clock = make()
    clock.now += 29
    assert notes.still_mine(item())
    clock.now += 2
    assert not notes.still_mine(item())
    board.has_renewed(clock.now)
    assert notes.still_mine(item())


def test_only_so_much_is_remembered() -> None:
    notes, board, _ = make()
    for n in range(1100):
        board.leave_notes([(LOST, b"0j%d-0" % n)])
        notes.take()
    assert notes.still_mine(item(entry=b"0-0"))
    assert not notes.still_mine(item(entry=b"1099-0"))
