"""Enqueue the messages of an mbox file, a job for each recipient.

python enqueue.py sample.mbox
"""

import re
import sys
from collections.abc import Iterator
from email.parser import BytesHeaderParser
from email.utils import getaddresses
from pathlib import Path

from jobs import send_email

from jobq.errors import CallTooLarge

#: Starts a message: "From SENDER DATE". In the format mboxrd no line of a message looks like it.
SEPARATOR = re.compile(rb"^From (\S+) .*\n", re.MULTILINE)
#: Such a line in a message has ">" before it in the file, and one more if it had some already.
QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)


def messages(mbox: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the sender and the content of each message."""
    _, *parts = SEPARATOR.split(mbox)
    for sender, content in zip(parts[::2], parts[1::2], strict=True):
        # A bounce has no sender, and then the file says this. A blank line ends each message.
        name = "" if sender == b"MAILER-DAEMON" else sender.decode("ascii")
        yield name, QUOTED.sub(rb"\1", content.removesuffix(b"\n"))


def recipients(message: bytes) -> list[str]:
    """Return the addresses that a message goes to, each once."""
    headers = BytesHeaderParser().parsebytes(message)
    fields = [str(field) for name in ("To", "Cc") for field in headers.get_all(name, [])]
    return list(dict.fromkeys(address for _, address in getaddresses(fields) if address))


def main(path: Path) -> int:
    enqueued = too_large = 0
    for sender, message in messages(path.read_bytes()):
        # A job for each recipient: some may be refused, and only these are tried again.
        for recipient in recipients(message):
            try:
                send_email.delay(sender, recipient, message)
            except CallTooLarge as error:  # keep it in a file, and send the job its name
                print(f"not enqueued, for {recipient}: {error}", file=sys.stderr)
                too_large += 1
            else:
                enqueued += 1
    print(f"enqueued {enqueued} jobs")
    return int(too_large > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
