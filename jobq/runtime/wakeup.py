"""A pipe that becomes readable with every signal, so that a wait in select ends."""

import os
import signal


def wakeup_pipe() -> int:
    """Let signals write into a pipe, and return the end to wait for."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def empty(reader: int) -> None:
    """Read what signals have written."""
    try:
        while os.read(reader, 4096):
            pass
    except BlockingIOError:
        pass
