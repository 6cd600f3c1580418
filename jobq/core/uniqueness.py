"""Uniqueness: which calls are the same, and what becomes of one that another is the same as."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Signature
from typing import Final, Literal, NamedTuple

from jobq.core.codec import Codec
from jobq.errors import EnqueueError

#: Until when a job has its key, beside a duration.
UNTIL_START: Final = "until_start"
UNTIL_DONE: Final = "until_done"

OnConflict = Literal["existing", "replace", "raise"]

#: What makes calls the same: equal arguments, the job function alone, or an equal value of this
#: function of the arguments.
By = Literal["args", "name"] | Callable[..., object]

#: How a lock says until when it holds; `FOR_TIME` goes with a duration, `NEVER` is no lock.
_MODES: Final = {UNTIL_START: "s", UNTIL_DONE: "d"}
FOR_TIME: Final = "t"
NEVER: Final = "-"

#: Bytes of a digest: two of a billion calls have the same one with a chance of 1 in 10^11.
_DIGEST: Final = 12


class Rule(NamedTuple):
    """What becomes of calls with the same key, in whole milliseconds, as Redis is told.

    Attributes:
        mode: until when a job has the key.
        holds: how long, with `FOR_TIME`.
        conflict: what becomes of a call when a job has its key: e, r or x, as in enqueue_keyed.lua.
        debounce: from the last call until the job is due; 0: at once.
        longest: from the first call until it is due at the latest.
        passes: jobs that may be added in any window; 0: any number.
        window: how long it is.
    """

    mode: str = "d"
    holds: int = 0
    conflict: str = "e"
    debounce: int = 0
    longest: int = 0
    passes: int = 0
    window: int = 0


@dataclass(frozen=True, slots=True)
class Uniqueness:
    """Which calls of a job function are the same, and what becomes of them.

    Attributes:
        by: what makes them the same.
        rule: what becomes of them.
    """

    by: By
    rule: Rule

    @property
    def raises(self) -> bool:
        """Whether a call that is not added is an error."""
        return self.rule.conflict == "x"

    def key(
        self,
        name: str,
        layout: Signature | None,
        codec: Codec,
        args: Sequence[object],
        kwargs: Mapping[str, object],
    ) -> str:
        """Return the key of a call, without spaces; the same calls have the same one.

        Args:
            name: of the job function.
            layout: its signature; None: it is not known here, so that arguments count as they
                were given, by position or by name.
            codec: makes bytes of what is compared.
            args: positional arguments, which fit the signature.
            kwargs: keyword arguments.

        Raises:
            EnqueueError: what is compared cannot be encoded, or the function that makes it raised.
        """
        if self.by == "name":
            blob = b""
        elif self.by == "args":
            blob = _of_arguments(name, layout, codec, args, kwargs)
        else:
            try:
                made = self.by(*args, **kwargs)
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                raise EnqueueError(f"{name}(): the function of unique= raised {said}") from error
            blob = _encoded(codec, made, f"{name}(): what unique returned")
        return f"{name.replace(' ', '+')}:{_digest(name, blob)}"


def mode_of(until: str) -> str:
    """Return how a lock says that it holds until a job starts, or is done."""
    return _MODES[until]


def _digest(name: str, blob: bytes) -> str:
    from hashlib import blake2b  # noqa: PLC0415  3 ms, for OpenSSL

    named = name.encode("utf-8", "surrogatepass")
    found = blake2b(named + b"\0" + blob, digest_size=_DIGEST).digest()
    return urlsafe_b64encode(found).decode()


def _of_arguments(
    name: str,
    layout: Signature | None,
    codec: Codec,
    args: Sequence[object],
    kwargs: Mapping[str, object],
) -> bytes:
    what = f"{name}(): the arguments"
    if layout is None:
        return _encoded(codec, [list(args), dict(kwargs)], what)
    given = layout.bind(*args, **kwargs).arguments
    parts: list[bytes] = []
    for name_, parameter in layout.parameters.items():
        if name_ in given:
            part = _encoded(codec, given[name_], f"{what}, {name_!r},")
        elif parameter.default is parameter.empty:
            continue
        else:
            part = _default(codec, parameter.default)
        parts.append(b"%d %d %s%s" % (len(name_), len(part), name_.encode(), part))
    return b"".join(parts)


def _default(codec: Codec, value: object) -> bytes:
    """Return a default as if it had been given; nothing, if nobody can have given the same."""
    try:
        return codec.encode_canonical(value, "a default")
    except EnqueueError:
        return b""


def _encoded(codec: Codec, value: object, what: str) -> bytes:
    try:
        return codec.encode_canonical(value, what)
    except EnqueueError as error:
        error.args = (f"unique: {error}", *error.args[1:])
        raise
