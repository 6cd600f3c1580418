"""What others ask of an app; the client's `JobQ` has it, and tests bring their own."""

from typing import TYPE_CHECKING, Protocol

from jobq.core.codec import Codec
from jobq.core.registry import Registry
from jobq.core.signing import Signer

if TYPE_CHECKING:
    from jobq.core.hooks import Hooks


class Application(Protocol):
    """An app, as far as a worker and the commands need to know it."""

    @property
    def name(self) -> str:
        """What banners call the app."""
        ...

    @property
    def registry(self) -> Registry:
        """The job functions of the app."""
        ...

    @property
    def codec(self) -> Codec:
        """The codec of the app, with its registered types."""
        ...

    @property
    def hooks(self) -> "Hooks":
        """What is around its jobs, and who is told of failures."""
        ...

    @property
    def lease(self) -> float:
        """Seconds, see `jobq.core.lease`."""
        ...

    @property
    def max_delay(self) -> float:
        """Seconds that a job may be put off at most, by whom it is enqueued or by itself."""
        ...

    @property
    def signer(self) -> Signer | None:
        """What signs and checks calls; None: nothing is signed.

        Raises:
            ConfigError: JOBQ_SIGNING_KEYS cannot be used.
        """
        ...

    def redis_url(self) -> str:
        """Return the URL of a live Redis; the embedded one is started when it is needed.

        Raises:
            ConfigError: the app's URL has no known form.
            ServerError: the embedded server cannot be found or started.
        """
        ...

    def safe_url(self) -> str:
        """Return where the app's Redis is, for people: no password in it, and nothing is started.

        Raises:
            ConfigError: the app's URL has no known form.
        """
        ...
