"""Lines of a file that anybody may have made: few are held at once when they are long."""

from collections.abc import Iterator

from jobq.client.transfer import MOST_CHARS, take_in_lines
from jobq.core.codec import Codec
from jobq.store.address import parse_url
from jobq.store.sync import Store

ADDRESS = parse_url("redis://127.0.0.1:1")


def test_long_lines_are_not_held_by_the_hundred() -> None:
    read: list[int] = []
    line = "x" * (MOST_CHARS // 4)

    def lines() -> Iterator[str]:
        for number in range(20):
            read.append(number)
            yield line

    taken = take_in_lines(Store(lambda: ADDRESS), Codec(), lines())
    assert len(next(taken).refused) == len(read) == 4
    assert sum(len(one.refused) for one in taken) == 16
