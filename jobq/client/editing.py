"""The call of a dead letter with other arguments: taken apart, checked, signed again."""

from collections.abc import Callable
from typing import Final

from jobq.client.shape import Shape
from jobq.client.walking import Found
from jobq.core.codec import Codec
from jobq.core.registry import Registry
from jobq.core.signing import Signer, inner, signed_by
from jobq.errors import CallTooNew, CallUnreadable, ConfigError

#: Makes other arguments of arguments.
Change = Callable[[list[object], dict[str, object]], tuple[list[object], dict[str, object]]]

_TOO_NEW: Final = "name --app: the call has a type of its own, or one that is newer than this jobq"


class Editing:
    """Changes the arguments of calls, as their bytes.

    Args:
        codec: reads and writes arguments.
        signer: signs; None: there are no keys.
        registry: the job functions that are known here; None: none.
    """

    def __init__(
        self, codec: Codec, signer: Signer | None = None, registry: Registry | None = None
    ) -> None:
        self._codec = codec
        self._signer = signer
        self._registry = registry

    def changed(self, found: Found, change: Change) -> bytes:
        """Return the call of a dead letter with other arguments.

        The job function, the options and the headers of the call stay as they are. It is signed if
        there is a key: whoever edits a call answers for it.

        Raises:
            CallUnreadable: it cannot be read, or not here.
            ConfigError: it is signed, and there is no key to sign it with again.
            EnqueueError: the new arguments cannot travel, or do not fit the job function.
        """
        queue, dead = found
        try:
            name, args, kwargs, headers = self._codec.decode_call(inner(dead.call))
        except CallTooNew as error:
            raise CallUnreadable(f"{error}. {_TOO_NEW}") from error
        if self._signer is None and signed_by(dead.call):
            raise ConfigError(
                "the call is signed, and there is no key to sign it with again: "
                "set JOBQ_SIGNING_KEYS, or name --app"
            )
        args, kwargs = change(args, kwargs)
        self._check(name, args, kwargs)
        blob = self._codec.encode_call(name, args, kwargs, headers)
        return blob if self._signer is None else self._signer.sign(queue, dead.job_id, blob)

    def knows(self, name: str) -> bool:
        """Tell whether the arguments of a job function can be checked here."""
        return self._registry is not None and self._registry.get(name) is not None

    def _check(self, name: str, args: list[object], kwargs: dict[str, object]) -> None:
        known = None if self._registry is None else self._registry.get(name)
        if known is None:
            return
        qualname = getattr(known.function, "__qualname__", name)
        Shape(name, qualname, known.signature).check(args, kwargs)
        if known.rebuild is not None:
            known.rebuild.apply(list(args), dict(kwargs))
