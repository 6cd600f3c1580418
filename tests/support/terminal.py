"""Programs on a terminal of their own."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.support.process import jobq_command
from tests.support.wait import wait_until

#: Makes the terminal on stdin its own, so that Ctrl-C there is a signal, and becomes the program.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@contextmanager
def on_a_terminal(words: Sequence[str], url: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run `jobq` on a terminal of its own; gives the process, and the other end of it."""
    ours, its = pty.openpty()
    environment = {**os.environ, "JOBQ_REDIS_URL": url, "TERM": "xterm", "COLUMNS": "120"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, *jobq_command(), *words],
        stdin=its,
        stdout=its,
        stderr=its,
        env=environment,
        start_new_session=True,
    )
    os.close(its)
    try:
        yield process, ours
    finally:
        os.close(ours)
        process.kill()
        process.wait(10)


def read_until(terminal: int, text: bytes) -> bytes:
    """Read what a terminal shows until some text is there."""
    said = b""

    def there() -> bool:
        nonlocal said
        said += os.read(terminal, 4096)
        return text in said

    wait_until(there, f"the terminal shows {text!r}")
    return said
