"""Cut a stream of RESP requests into commands, so that the proxy can count and choose."""

Command = tuple[bytes, ...]


class Splitter:
    """Whole commands out of chunks of any size; what is incomplete waits for the next chunk."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, chunk: bytes) -> list[tuple[Command, bytes]]:
        """Take a chunk; return each command that is now whole, with its bytes.

        Raises:
            ValueError: it is no array of bulk strings, which is all that clients send.
        """
        self._buffer += chunk
        whole: list[tuple[Command, bytes]] = []
        start = 0
        while (parsed := _command(self._buffer, start)) is not None:
            words, end = parsed
            whole.append((words, self._buffer[start:end]))
            start = end
        self._buffer = self._buffer[start:]
        return whole


def _command(data: bytes, start: int) -> tuple[Command, int] | None:
    """Read the command at `start`: its words and where it ends; None if it is not whole yet."""
    head = _number(data, start, b"*")
    if head is None:
        return None
    count, position = head
    words: list[bytes] = []
    for _ in range(count):
        head = _number(data, position, b"$")
        if head is None:
            return None
        length, position = head
        if len(data) < position + length + 2:
            return None
        words.append(data[position : position + length])
        position += length + 2
    return tuple(words), position


def _number(data: bytes, start: int, mark: bytes) -> tuple[int, int] | None:
    """Read a line such as ``*3``: the number and where the next line starts."""
    end = data.find(b"\r\n", start)
    if end < 0:
        return None
    if data[start : start + 1] != mark:
        raise ValueError(f"expected {mark!r} in {data[start:end][:80]!r}")
    return int(data[start + 1 : end]), end + 2
