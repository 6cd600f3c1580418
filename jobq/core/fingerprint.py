"""Fingerprints of failures: dead letters that died of the same thing have the same one.

A fingerprint is 12 hexadecimal digits of a SHA-256 hash over

* the name of the job function,
* the qualified name of the exception,
* each frame of the traceback, those of the exceptions behind it too, as the name of its file
  without directories and the name of the function; each frame once, in the order of its first
  appearance, so that a recursion counts the same however deep it was;
* only where there is no frame (the process died, the job was too old, it cannot be read): the
  message, in which numbers, addresses, UUIDs, ids of jobs and what is quoted stand as such.

Not in it: line numbers and lines of code, so that an edit elsewhere in a file makes no new group;
directories, so that all hosts agree; and, where there are frames, the message, so that
``no user 7`` and ``no user 8`` are alike. Pure; never raises, whatever the texts are.
"""

import re
from dataclasses import dataclass
from typing import Final

import msgpack

from jobq.core.outcome import Failure

#: Hexadecimal digits; with 48 bits, two groups of a thousand meet once in 500 million queues.
DIGITS: Final = 12

#: Groups of a queue that are told apart; what comes beyond is counted under `OTHERS`.
MOST_GROUPS: Final = 1000
OTHERS: Final = "*"

#: Characters of the message of a group: it is an example, kept for each of a thousand.
MAX_SAMPLE_CHARS: Final = 200
#: Characters of names in a group; a stranger's call can have any.
_MAX_NAME_CHARS: Final = 200
#: Frames that count; more of them, all different, say nothing new.
_MAX_FRAMES: Final = 100

#: A frame, as `traceback` writes it; in exception groups behind bars.
_FRAME: Final = re.compile(r'^[ |+\-]*File "([^"\n]*)", line [0-9]+, in (.*)$', re.MULTILINE)
#: What differs from one failure to the next: quoted text, UUIDs, addresses, ids of jobs, numbers.
_VARIABLE: Final = re.compile(
    r"'[^'\n]*'|\"[^\"\n]*\""
    r"|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
    r"|0[xX][0-9a-fA-F]+"
    r"|\b(?=[a-zA-Z]*[0-9])[0-9a-zA-Z]{20,}\b"
    r"|[0-9]+(?:\.[0-9]+)?"
)


@dataclass(frozen=True, slots=True)
class Group:
    """What dead letters of one fingerprint have in common.

    Attributes:
        fingerprint: see this module; `OTHERS` for those beyond the thousandth group; empty:
            for letters that have none.
        job: the name of the job function.
        error: the qualified name of the exception.
        sample: what one of the exceptions said.
    """

    fingerprint: str
    job: str = ""
    error: str = ""
    sample: str = ""

    def encode(self) -> bytes:
        """Return everything but the fingerprint as bytes."""
        row = [self.job, self.error, self.sample]
        return bytes(msgpack.packb(row, unicode_errors="backslashreplace"))

    @staticmethod
    def decode(fingerprint: str, blob: bytes) -> "Group":
        """Read what `encode` wrote; where that is garbage, nothing is known."""
        try:
            row: object = msgpack.unpackb(blob)
        except Exception:  # noqa: BLE001  msgpack raises many kinds; none says more
            return Group(fingerprint)
        match row:
            case [str(job), str(error), str(sample), *_]:
                names = job[:_MAX_NAME_CHARS], error[:_MAX_NAME_CHARS]
                return Group(fingerprint, *names, sample[:MAX_SAMPLE_CHARS])
        return Group(fingerprint)


#: Of a letter that stands in no group.
NO_GROUP: Final = Group("")


def group_of(job: str, failure: Failure) -> Group:
    """Return the group of a failure.

    Args:
        job: the name of the job function; empty when it cannot be told.
        failure: the exception, as a dead letter has it.
    """
    return Group(
        fingerprint(job, failure),
        job[:_MAX_NAME_CHARS],
        failure.error[:_MAX_NAME_CHARS],
        failure.message[:MAX_SAMPLE_CHARS],
    )


def fingerprint(job: str, failure: Failure) -> str:
    """Return the fingerprint of a failure; this module says what is in it."""
    from hashlib import sha256  # noqa: PLC0415  3 ms, for OpenSSL, which only failures shall pay

    parts = frames(failure.traceback) or [_VARIABLE.sub("?", failure.message)]
    text = "\n".join((job, failure.error, *parts))
    return sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:DIGITS]


def frames(traceback: str) -> list[str]:
    """Return the frames of a traceback as ``file.py function``, each once."""
    found: dict[str, None] = {}
    for path, function in _FRAME.findall(traceback):
        base = re.split(r"[/\\]", path)[-1]
        found[f"{base} {function}"] = None
        if len(found) == _MAX_FRAMES:
            break
    return list(found)
