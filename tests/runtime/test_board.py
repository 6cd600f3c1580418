"""The page that a worker shares with its supervisor."""

import os
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobq.runtime.board import (
    BUSY,
    CAPACITY,
    HIGH_USED,
    LOW_USED,
    STARTING,
    WAITING,
    Board,
    Place,
)
from tests.support.wait import wait_until


def entry(number: int) -> bytes:
    return b"%d-%d" % (1_700_000_000_000 + number, number)


def test_it_says_what_is_held_and_what_runs() -> None:
    board = Board()
    assert (board.state, board.client, board.read()) == (STARTING, 0, [])
    board.says(BUSY)
    board.connected(77)
    first, second = board.hold([b"1-0", b"2-0"], 3, "j")
    (third,) = board.hold([b"3-5"], 0, "r")
    board.started(third)
    board.runs(first)
    assert (board.state, board.client, board.running) == (BUSY, 77, 2)
    assert board.read() == [
        Place("1-0", 3, "j", True),
        Place("2-0", 3, "j", False),
        Place("3-5", 0, "r", True),
    ]
    board.runs(-1)
    board.stopped(third)
    assert board.running == 0
    board.drop([second])
    assert board.entries(3, "j") == {b"1-0"}
    assert board.entries(0, "r") == {b"3-5"}
    assert board.entries(0, "j") == set()


def test_the_longest_id_fits() -> None:
    board = Board()
    longest = b"%d-%d" % (2**64 - 1, 2**64 - 1)
    board.hold([longest], 255, "r")
    assert board.read() == [Place(longest.decode(), 255, "r", False)]


def test_more_than_fits_is_refused() -> None:
    board = Board()
    board.hold([entry(n) for n in range(CAPACITY)], 0, "j")
    with pytest.raises(OverflowError):
        board.hold([b"1-1"], 0, "j")


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.sampled_from("hjlr"), st.integers(0, 100)), max_size=40
    )
)
def test_it_holds_what_a_dict_would(steps: list[tuple[int, str, int]]) -> None:
    """Hold some, drop some, again and again: nothing is mixed up, and room is used again."""
    board, model, number = Board(), dict[int, tuple[str, bytes]](), 0
    for many, letter, drops in steps:
        if len(model) + many > CAPACITY:
            continue
        new = [entry(number + n) for n in range(many)]
        number += many
        places = board.hold(new, 1, letter)
        assert not set(places) & set(model)
        model.update(zip(places, [(letter, one) for one in new], strict=True))
        gone = list(model)[:drops]
        board.drop(gone)
        for place in gone:
            del model[place]
        for each in "hjlr":
            held = {one for stream, one in model.values() if stream == each}
            assert board.entries(1, each) == held


def test_another_process_reads_whole_boards_only() -> None:
    """A child writes as fast as it can; whatever is read, it was once there as a whole."""
    board = Board()
    pid = os.fork()
    if not pid:
        turn = 0
        while True:
            turn += 1
            board.drop(board.hold([b"%d-%d" % (turn, n) for n in range(50)], 0, "j"))
    try:
        wait_until(board.read, "the child writes")
        for _ in range(300):
            turns = {place.entry.split("-")[0] for place in board.read()}
            assert len(turns) <= 1
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_writer_that_died_half_way_is_read_all_the_same() -> None:
    board = Board()
    board.hold([b"1-0"], 0, "j")
    board._words[0] += 1
    board.says(WAITING)
    assert board.entries(0, "j") == {b"1-0"}


def test_it_says_which_lines_are_in_use() -> None:
    board = Board()
    board.lines[255] = HIGH_USED | LOW_USED
    board.lines[0] = LOW_USED
    assert [board.lines[queue] for queue in (0, 1, 254, 255)] == [LOW_USED, 0, 0, 3]
    board.leave_notes([(b"c", b"255j7-0")] * 32)
    assert board.lines[0] == LOW_USED
