"""A mail server to try the example with.

python smtp_server.py

It keeps what it accepts in a folder, a file for each message, and writes what happened to
``log.jsonl`` there. It refuses recipients by their domain: those of once.example the first time,
those of twice.example two times, those of never.example for ever.
"""

import argparse
import asyncio
import contextlib
import json
from collections import Counter
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

#: How often the recipients of a domain are refused for now.
FOR_NOW = {"once.example": 1, "twice.example": 2}
FOR_EVER = "never.example"


class Inbox:
    """Takes or refuses messages; aiosmtpd calls its methods.

    Args:
        folder: where messages are kept.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._accepted = 0
        self._refused: Counter[str] = Counter()

    async def handle_RCPT(  # noqa: N802  the name that aiosmtpd looks for
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        """Decide about a recipient."""
        domain = address.rpartition("@")[2]
        if domain == FOR_EVER:
            return self._refuse(envelope, address, "550 5.1.1 no such mailbox")
        if self._refused[address] < FOR_NOW.get(domain, 0):
            return self._refuse(envelope, address, "450 4.2.0 try again later")
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Keep a message."""
        self._accepted += 1
        name = f"{self._accepted:05}.eml"
        self._keep(name, envelope.content or b"")
        self._log(sender=envelope.mail_from, recipients=envelope.rcpt_tos, accepted=name)
        return "250 OK"

    def _refuse(self, envelope: Envelope, address: str, reply: str) -> str:
        self._refused[address] += 1
        self._log(sender=envelope.mail_from, recipients=[address], refused=reply)
        return reply

    def _keep(self, name: str, content: bytes | str) -> None:
        assert isinstance(content, bytes)  # aiosmtpd decodes only if asked to
        (self._folder / name).write_bytes(content)

    def _log(self, **event: object) -> None:
        line = json.dumps(event)
        print(line, flush=True)
        with (self._folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")


async def serve(host: str, port: int, folder: Path) -> None:
    inbox = Inbox(folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(inbox, hostname="localhost"), host, port)
    async with server:
        print(f"listening on {host}:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A mail server that refuses some recipients.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8025, help="0: any that is free")
    parser.add_argument("--folder", type=Path, default=Path("received"))
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(given.host, given.port, given.folder))
