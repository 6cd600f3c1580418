"""Peers that are not a healthy Redis, and a certificate for one that is."""

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.resp import Splitter

#: Stands at the end of what a peer says, and is not said: it hangs up in the same moment.
LEAVES = b"<leaves>"

#: What a peer says to a command, the number of which is given; None: it hangs up.
Says = Callable[[int, tuple[bytes, ...]], bytes | None]


class Peer:
    """A server that answers what a test says.

    Args:
        says: what it answers to each command of a connection.
        greets: what it says before it is asked.
    """

    def __init__(self, says: Says, *, greets: bytes = b"") -> None:
        self._says = says
        self._greets = greets
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop listening."""
        # Wakes accept(), which close() alone does not on Linux.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=10)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with client, contextlib.suppress(OSError):
                self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        client.sendall(self._greets)
        splitter = Splitter()
        number = 0
        while data := client.recv(65536):
            answers: list[bytes] = []
            for command, _ in splitter.feed(data):
                said = self._says(number, command)
                number += 1
                if said is None:
                    client.sendall(b"".join(answers))
                    return
                answers.append(said.removesuffix(LEAVES))
                if said.endswith(LEAVES):
                    client.sendall(b"".join(answers))
                    return
            client.sendall(b"".join(answers))


def certify(folder: Path) -> dict[str, str]:
    """Make an authority, and its certificate for ``localhost``; returns the files."""
    files = {name: str(folder / name) for name in ("ca.crt", "ca.key", "s.crt", "s.key", "s.csr")}
    extensions = folder / "extensions"
    extensions.write_text("subjectAltName=DNS:localhost\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl(
        "req", "-x509", *key, "-days", "2", "-subj", "/CN=jobq tests",
        "-keyout", files["ca.key"], "-out", files["ca.crt"],
    )  # fmt: skip
    _openssl(
        "req", *key, "-subj", "/CN=localhost", "-keyout", files["s.key"], "-out", files["s.csr"]
    )
    _openssl(
        "x509", "-req", "-in", files["s.csr"], "-CA", files["ca.crt"], "-CAkey", files["ca.key"],
        "-CAcreateserial", "-days", "2", "-extfile", str(extensions), "-out", files["s.crt"],
    )  # fmt: skip
    return files


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
