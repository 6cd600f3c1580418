"""What a worker tells its supervisor once it has imported the app: the supervisor never does."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The app as its worker found it.

    Attributes:
        url: where Redis is, with the password.
        safe_url: the same for people.
        app: what the app is called.
        queues: the queues that the worker reads, the first one first.
        jobs: the names of the job functions.
    """

    url: str
    safe_url: str
    app: str
    queues: tuple[str, ...]
    jobs: tuple[str, ...]

    def encode(self) -> bytes:
        """Return it as one line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def decode(line: bytes) -> "Hello":
        """Read what `encode` wrote."""
        given = json.loads(line)
        return Hello(
            url=given["url"],
            safe_url=given["safe_url"],
            app=given["app"],
            queues=tuple(given["queues"]),
            jobs=tuple(given["jobs"]),
        )
