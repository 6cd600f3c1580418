"""A proxy between a client and a server that breaks the line in chosen ways.

It understands requests well enough to break at a chosen command:

    with Proxy(server.url) as proxy:
        fault = proxy.cut_after_request("EVALSHA")   # executed, but the answer is lost
        ...                                          # a client connects to proxy.url and sends
        fault.wait()

Guarantees: after `cut_before_request` fired, the server has not seen the command; after
`cut_after_request` fired, it has executed it. Both hold whatever was pipelined around it.
"""

import contextlib
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

from tests.support.resp import Command, Splitter

Kind = Literal["before", "after", "lost", "amid"]


@dataclass(slots=True)
class Fault:
    """A fault that waits for its command.

    Attributes:
        kind: ``before`` cuts in place of the command, ``after`` cuts in place of its answer,
            ``lost`` leaves the line open and never answers again, ``amid`` cuts amid the answer.
        word: the first word of the command, or the digest of its script, upper case; empty for
            any.
        skip: how many such commands pass before it fires, once.
        command: the command that it fired at.
    """

    kind: Kind
    word: bytes
    skip: int
    command: Command = ()
    allowed: int = 0  # bytes of answers that still pass, for ``amid``
    _fired: threading.Event = field(default_factory=threading.Event)

    @property
    def fired(self) -> bool:
        """Whether it has happened."""
        return self._fired.is_set()

    def fired_within(self, timeout: float) -> bool:
        """Whether it has happened, or does so soon: the proxy's thread may be behind the client."""
        return self._fired.wait(timeout)

    def wait(self, timeout: float = 10.0) -> None:
        """Wait until it has happened.

        Raises:
            AssertionError: it did not happen in time.
        """
        name = self.word.decode() or "any command"
        assert self._fired.wait(timeout), f"no fault {self.kind} {name} in {timeout:g} s"

    def takes(self, command: Command) -> bool:
        """Whether it is to fire at this command; counts down what it lets pass."""
        if self.word and self.word not in {word.upper() for word in command[:2]}:
            return False
        self.skip -= 1
        if self.skip >= 0:
            return False
        self.command = command
        return True

    def happen(self) -> None:
        """Tell those who wait that it has happened."""
        self._fired.set()


class Proxy:
    """A listening socket before a server; each connection is two threads.

    Args:
        target: the URL of the server, ``unix:///path`` or ``redis://host:port``.
        listen: whether clients reach it by TCP on this machine or by a unix socket.

    Attributes:
        url: where clients connect.
        commands: what was let through to the server, in order, over all connections.
        knocks: how often clients have tried to connect.
    """

    def __init__(self, target: str, listen: Literal["tcp", "unix"] = "tcp") -> None:
        self._target = target
        self._folder: Path | None = None
        if listen == "tcp":
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        else:
            self._folder = Path(tempfile.mkdtemp(prefix="jobq-", dir="/tmp"))
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self._folder / "p"))
            self._listener.listen()
            self.url = f"unix://{self._folder / 'p'}"
        self.commands: list[Command] = []
        self.knocks = 0
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._faults: list[Fault] = []
        self._refusing = False
        self._closed = False
        self.passing = threading.Event()  # cleared: a black hole
        self.passing.set()
        self.pause = 0.0  # seconds by which each answer is late
        self._acceptor = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._acceptor.start()

    def __enter__(self) -> Self:
        """Return itself: it listens already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Cut everything and stop listening."""
        self.close()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._links)

    def cut_before_request(self, word: str = "", skip: int = 0) -> Fault:
        """Cut the connection in place of the next such command: it never reaches the server."""
        return self._arm("before", word, skip)

    def cut_after_request(self, word: str = "", skip: int = 0) -> Fault:
        """Cut the connection after the server executed the next such command, unanswered."""
        return self._arm("after", word, skip)

    def lose_reply(self, word: str = "", skip: int = 0) -> Fault:
        """Let the next such command through, and no answer of that connection ever after."""
        return self._arm("lost", word, skip)

    def cut_amid_reply(self, word: str = "", skip: int = 0, *, after: int = 1) -> Fault:
        """Cut the connection when so many bytes have been answered from the next such command on.

        The command is executed. Where others were pipelined before it and are not answered yet,
        their answers count too.
        """
        fault = self._arm("amid", word, skip)
        fault.allowed = after
        return fault

    def half_close(self, deaf: Literal["client", "server"]) -> int:
        """Close one direction of all connections now and leave the other open.

        Args:
            deaf: ``client``: clients read an end, and the server never hears of it: it goes on
                with what it was asked for. ``server``: the server reads an end and hangs up, and
                clients never hear of it.

        Returns:
            How many connections there were.
        """
        links = list(self._links)
        for link in links:
            link.half_close(deaf)
        return len(links)

    def cut(self) -> int:
        """Cut all connections now; returns how many there were."""
        links = list(self._links)
        for link in links:
            link.cut()
        return len(links)

    def refuse(self) -> None:
        """Cut all connections and each new one, as if the server were gone."""
        self._refusing = True
        self.cut()

    def accept(self) -> None:
        """Let clients connect again."""
        self._refusing = False

    def point_to(self, target: str) -> None:
        """Lead new connections to another server."""
        self._target = target

    def black_hole(self) -> None:
        """Keep connections open, take bytes and pass nothing on, as a lost network does."""
        self.passing.clear()

    def restore(self) -> None:
        """End a black hole; what was held back passes now."""
        self.passing.set()

    def delay(self, seconds: float) -> None:
        """Make each answer late by that much; 0 ends it."""
        self.pause = seconds

    def close(self) -> None:
        """Cut everything and stop listening."""
        self._closed = True
        with contextlib.suppress(OSError):
            _connect(self.url).close()  # wakes accept(), on every system
        self._acceptor.join(timeout=10)
        self._listener.close()
        self.cut()
        self.passing.set()
        for link in list(self._links):
            link.join()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def admit(self, command: Command) -> Fault | None:
        """Decide on a command of a client: note it, and tell the fault that it meets."""
        with self._lock:
            met = next((fault for fault in self._faults if fault.takes(command)), None)
            if met is not None:
                self._faults.remove(met)
            if met is None or met.kind != "before":
                self.commands.append(command)
            return met

    def forget(self, link: "_Link") -> None:
        """Take a closed connection off the list."""
        self._links.discard(link)

    def _arm(self, kind: Kind, word: str, skip: int) -> Fault:
        fault = Fault(kind, word.upper().encode(), skip)
        with self._lock:
            self._faults.append(fault)
        return fault

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.knocks += 1
            if self._closed or self._refusing:
                client.close()
                continue
            try:
                server = _connect(self._target)
            except OSError:  # the server is down: so are we
                client.close()
                continue
            link = _Link(self, client, server)
            self._links.add(link)
            link.start()


class _Link:
    """One client's connection: a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._mute = False  # answers are dropped
        self._deaf = ""  # which side reads an end, of a half-closed connection
        self._allowed = -1  # bytes of answers before a cut; -1: no limit
        self._amid: Fault | None = None
        self._drained = threading.Event()  # the server has nothing more to say
        self._threads = [
            threading.Thread(target=self._guard, args=(work,), daemon=True)
            for work in (self._requests, self._answers)
        ]

    def start(self) -> None:
        """Start both directions, and a third thread that clears away after them."""
        for thread in self._threads:
            thread.start()
        threading.Thread(target=self._clear_away, daemon=True).start()

    def join(self) -> None:
        """Wait until the connection is over."""
        for thread in self._threads:
            thread.join(timeout=10)

    def cut(self) -> None:
        """End the connection on both sides."""
        for side in (self._client, self._server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def half_close(self, deaf: str) -> None:
        """See `Proxy.half_close`."""
        self._deaf = deaf
        with contextlib.suppress(OSError):
            (self._client if deaf == "client" else self._server).shutdown(socket.SHUT_WR)

    def _guard(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            work()
        if not self._deaf:
            self.cut()  # otherwise the other side is to notice by itself

    def _clear_away(self) -> None:
        for thread in self._threads:
            thread.join()
        self._client.close()
        self._server.close()
        self._proxy.forget(self)

    def _requests(self) -> None:
        splitter = Splitter()
        while chunk := self._client.recv(65536):
            for command, raw in splitter.feed(chunk):
                self._proxy.passing.wait()
                if self._deaf:
                    continue
                fault = self._proxy.admit(command)
                if fault is None:
                    self._server.sendall(raw)
                elif self._break(fault, raw):
                    return

    def _break(self, fault: Fault, raw: bytes) -> bool:
        """Let a fault happen; returns whether the connection is over."""
        if fault.kind == "before":
            # What was pipelined before it has been sent; it must reach the server all the same.
            self._finish()
        elif fault.kind == "amid":
            self._amid, self._allowed = fault, fault.allowed
            self._server.sendall(raw)
            return False
        elif fault.kind == "after":
            self._mute = True
            self._server.sendall(raw)
            self._finish()
        else:
            self._mute = True
            self._server.sendall(raw)
        if fault.kind != "lost":
            self.cut()
        fault.happen()
        return fault.kind != "lost"

    def _finish(self) -> None:
        """Say that nothing more comes, and wait until the server has done all that it got.

        A server reads what was sent before it sees the end, so once it hangs up it has executed
        every command.
        """
        self._server.shutdown(socket.SHUT_WR)
        if not self._drained.wait(timeout=10):
            raise TimeoutError("the server does not hang up")  # the fault does not fire

    def _answers(self) -> None:
        try:
            while chunk := self._server.recv(65536):
                if self._proxy.pause:
                    time.sleep(self._proxy.pause)
                self._proxy.passing.wait()
                if self._amid is not None and len(chunk) >= self._allowed:
                    self._client.sendall(chunk[: self._allowed])
                    self.cut()
                    self._amid.happen()
                    return
                self._allowed -= len(chunk)
                if not self._mute and self._deaf != "client":
                    self._client.sendall(chunk)
        finally:
            self._drained.set()


def _connect(url: str) -> socket.socket:
    """Connect to ``unix:///path`` or ``redis://host:port``."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379))
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(parts.path)
    except OSError:
        server.close()
        raise
    return server
