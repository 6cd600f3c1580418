"""Make sample.mbox, the same in each run and on each Python.

python make_mbox.py

The messages are put together by hand, because those that the email package writes differ between
releases of Python, and because some of them shall be as odd as mail is.
"""

import base64
import quopri
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

COUNT = 320
SEED = 1982  # the year of RFC 821

WORDS = (
    "the", "report", "queue", "printer", "lunch", "tomorrow", "is", "late", "again", "please",
    "find", "attached", "our", "minutes", "of", "meeting", "and", "numbers", "for", "last",
    "quarter", "thanks", "regards", "see", "you", "soon", "never", "mind", "works", "now",
)  # fmt: skip
NAMES = (
    "Ada", "Zoë", "Grace Hopper", "Łukasz Żółć", "山田太郎", "Müller, Jürgen", "أحمد", "Ὅμηρος",
)  # fmt: skip
FILES = ("notes.txt", "Übersicht März.txt", "表.csv", 'odd "name"; here.txt', "plan\u00a0b.txt")


@dataclass(frozen=True)
class Mail:
    """One message.

    Attributes:
        sender: of the envelope; empty for a bounce.
        recipients: of the envelope.
        content: header and body; lines end in a single newline.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes


class Writer:
    """Writes one message after the other."""

    def __init__(self) -> None:
        self._random = random.Random(SEED)  # noqa: S311  it shall be foreseeable
        self._parts: tuple[Callable[[], bytes], ...] = (
            self._plain,
            self._looks_like_mbox,
            self._dots,
            self._eight_bit,
            self._latin,
            self._nothing,
            self._no_body,
            self._long_lines,
            self._odd_blanks,
            self._quoted_printable,
            self._html_too,
            self._text_attached,
            self._bytes_attached,
            self._forwarded,
        )

    def mails(self) -> Iterator[Mail]:
        """Yield the messages."""
        for number in range(COUNT):
            recipients = self._recipients(number)
            body = self._parts[number % len(self._parts)]()
            sender = "" if number % 61 == 60 else f"{self._word()}.{number}@sender.example"
            header = self._header(number, sender or "mailer-daemon@sender.example", recipients)
            yield Mail(sender, recipients, header + body)

    def _recipients(self, number: int) -> tuple[str, ...]:
        """Return one recipient or a few, most of them in domains that refuse nobody."""
        many = self._random.choice((1, 1, 1, 1, 2, 3))
        domains = ("here.example",) * 7 + ("once.example", "twice.example", "never.example")
        return tuple(
            f"{self._word()}-{number}-{place}@{self._random.choice(domains)}"
            for place in range(many)
        )

    def _header(self, number: int, sender: str, recipients: tuple[str, ...]) -> bytes:
        subject = self._text(self._random.randint(1, 12))
        if number % 3 == 0:
            subject = encoded_word(f"{self._random.choice(NAMES)}: {subject}")
        elif number % 10 == 1:
            subject = f"{self._random.choice(NAMES)}: {subject}"  # raw UTF-8, as of RFC 6532
        named = [f"{phrase(self._random.choice(NAMES))} <{one}>" for one in recipients[1:]]
        lines = [
            f"From: {phrase(self._random.choice(NAMES))} <{sender}>",
            f"To: {recipients[0]}",
            *(["Cc: " + ",\n\t".join(named)] if named else []),
            f"Subject: {subject}",
            f"Date: Tue, 24 Nov 2026 {number // 60 % 24:02}:{number % 60:02}:00 +0000",
            f"Message-ID: <{number:05}.{self._random.getrandbits(64):016x}@sender.example>",
            "MIME-Version: 1.0",
        ]
        return ("\n".join(lines) + "\n").encode()

    # bodies: the header fields that tell their type, a blank line, the text

    def _plain(self) -> bytes:
        lines = [self._text(self._random.randint(4, 14)) for _ in range(self._random.randint(1, 9))]
        return body("text/plain; charset=us-ascii", "\n".join(lines) + "\n")

    def _looks_like_mbox(self) -> bytes:
        text = (
            "From the first line on it looks like a separator.\n\n"
            "From ada@sender.example Tue Nov 24 08:00:00 2026\n"
            "Subject: not a header\n\n>From here on quoted once\n>>From there on twice\n"
            " From with a blank before it\nfrom in small letters\nFrom \n"
        )
        return body("text/plain; charset=us-ascii", text + self._text(5) + "\n")

    def _dots(self) -> bytes:
        text = f".\n..\n...\n.hidden\n{self._text(4)}.\n. \n\n.\n"
        return body("text/plain; charset=us-ascii", text)

    def _eight_bit(self) -> bytes:
        lines = [f"{self._random.choice(NAMES)} — {self._text(6)} …" for _ in range(4)]
        return body("text/plain; charset=utf-8", "\n".join(lines) + "\n", "8bit")

    def _latin(self) -> bytes:
        text = "Grüße aus Köln, façade, señor, £5, naïve\n" + self._text(8) + "\n"
        head = b"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n"
        return head + text.encode("latin-1") + bytes(range(0xA0, 0x100)) + b"\n"

    def _nothing(self) -> bytes:
        return b"\n"

    def _no_body(self) -> bytes:
        return b"X-Note: this message is all header, and not even a blank line follows\n"

    def _long_lines(self) -> bytes:
        # 998 characters are the most that SMTP carries in a line (RFC 5321, 4.5.3.1.6).
        return body("text/plain; charset=us-ascii", "x" * 998 + "\n" + "." * 998 + "\nshort\n")

    def _odd_blanks(self) -> bytes:
        text = f"\n\n  {self._text(3)}  \t\n\t\n\x0b\x0c\n{self._text(3)}   \n\n\n\n"
        return body("text/plain; charset=us-ascii", text)

    def _quoted_printable(self) -> bytes:
        text = "".join(f"{name} = {self._text(16)}\n" for name in NAMES)
        quoted = quopri.encodestring(text.encode()).decode("ascii")
        return body("text/plain; charset=utf-8", quoted, "quoted-printable")

    def _html_too(self) -> bytes:
        text = self._text(9)
        return multipart(
            "alternative",
            self._boundary(),
            body("text/plain; charset=us-ascii", f"{text}\n"),
            body("text/html; charset=us-ascii", f"<p>{text}</p>\n"),
        )

    def _text_attached(self) -> bytes:
        name = self._random.choice(FILES)
        text = "".join(f"{self._text(7)}\n" for _ in range(self._random.randint(0, 40)))
        return multipart(
            "mixed", self._boundary(), self._plain(), attached(name, "text/plain", text.encode())
        )

    def _bytes_attached(self) -> bytes:
        name = f"{self._random.choice(NAMES)}.bin"
        data = self._random.randbytes(self._random.choice((0, 1, 57, 4_000, 20_000, 60_000)))
        return multipart(
            "mixed",
            self._boundary(),
            self._eight_bit(),
            attached(name, "application/octet-stream", data),
        )

    def _forwarded(self) -> bytes:
        inner = b"From: ada@sender.example\nTo: bob@here.example\nSubject: in it\n" + self._dots()
        part = b"Content-Type: message/rfc822\n\n" + inner
        return multipart("mixed", self._boundary(), self._plain(), part)

    def _word(self) -> str:
        return self._random.choice(WORDS)

    def _text(self, words: int) -> str:
        return " ".join(self._word() for _ in range(words))

    def _boundary(self) -> str:
        return f"=_{self._random.getrandbits(64):016x}"


def body(kind: str, text: str, encoding: str = "7bit") -> bytes:
    head = f"Content-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n\n"
    return (head + text).encode()


def attached(name: str, kind: str, data: bytes) -> bytes:
    """Return a part with a file; its name is written as of RFC 2231."""
    head = (
        f"Content-Type: {kind}\nContent-Transfer-Encoding: base64\n"
        f"Content-Disposition: attachment;\n filename*=utf-8''{quote(name)}\n\n"
    )
    return head.encode() + base64.encodebytes(data)


def multipart(kind: str, boundary: str, *parts: bytes) -> bytes:
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"\n\n'
    inside = b"".join(f"--{boundary}\n".encode() + part + b"\n" for part in parts)
    return head.encode() + inside + f"--{boundary}--\n".encode()


def encoded_word(text: str) -> str:
    """Return a text for a header in ASCII (RFC 2047): 12 characters a word, which always fit."""
    pieces = (text[start : start + 12].encode() for start in range(0, len(text), 12))
    return "\n ".join(f"=?utf-8?B?{base64.b64encode(one).decode('ascii')}?=" for one in pieces)


def phrase(name: str) -> str:
    """Return a person's name as it stands before an address."""
    return f'"{name}"' if name.isascii() else encoded_word(name)


def mbox(mails: Iterator[Mail]) -> bytes:
    """Return messages in the format mboxrd; ``enqueue.py`` reads it."""
    return b"".join(map(_entry, mails))


def _entry(mail: Mail) -> bytes:
    lines = mail.content.split(b"\n")
    quoted = (b">" + one if one.lstrip(b">").startswith(b"From ") else one for one in lines)
    start = f"From {mail.sender or 'MAILER-DAEMON'} Tue Nov 24 08:00:00 2026\n"
    return start.encode("ascii") + b"\n".join(quoted) + b"\n"


if __name__ == "__main__":
    target = Path(__file__).with_name("sample.mbox")
    target.write_bytes(mbox(Writer().mails()))
    print(f"wrote {target}")
