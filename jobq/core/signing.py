"""Signed calls: who cannot sign with a key cannot make a worker run anything.

A signed call is the msgpack array ``[2, key id, MAC, call]``, around the bytes that
`jobq.core.codec` makes of a call. The MAC is HMAC-SHA256 over a word of our own, the queue, the id
of the job and the call, so that a call cannot be moved to another queue or job either. A worker
without keys takes it for a call in a newer format, and leaves it to those that have them.
"""

from collections.abc import Callable, Mapping
from struct import Struct
from typing import TYPE_CHECKING, Final

import msgpack

from jobq.core.bounds import MAX_CALL_BYTES
from jobq.core.hints import shown
from jobq.errors import CallTooNew, CallUntrusted, ConfigError

if TYPE_CHECKING:
    import hmac

#: The version that stands where a call has its format.
FORMAT: Final = 2
#: Bytes. Shorter secrets can be guessed.
LEAST_SECRET: Final = 16
MOST_KEY_ID: Final = 64

#: What is signed starts with this: no other use of a key makes the same bytes.
_WORD: Final = b"jobq-call-1"
_LENGTHS: Final = Struct(">II")
_MAC_BYTES: Final = 32
#: An array of four, the first of them a 2.
_HEAD: Final = b"\x94\x02"
#: What stands before 32 bytes, and how wide the length is that stands before any.
_MAC_HEAD: Final = b"\xc4\x20"
_WIDTHS: Final = {b"\xc4": 1, b"\xc5": 2, b"\xc6": 4}
#: The most bytes of an envelope around a call.
_MOST_AROUND: Final = 4 * MOST_KEY_ID + 64

#: What stands, before its name, for the id of the job where the call of a schedule is signed.
SCHEDULE: Final = "schedule:"

#: Why a call was not run, as dead letters say it.
NOT_SIGNED: Final = "not signed"
BAD_SIGNATURE: Final = "bad signature"

_FORM: Final = 'such as signing_keys={"2026-11": "a secret of 16 bytes or more"}'


class Signer:
    """Signs calls with one key, and checks them with all; never shown with a secret.

    Args:
        keys: id and secret of each key, at least one; the first one signs.
        accept_unsigned: let calls pass that are not signed at all.

    Attributes:
        key_ids: the ids, the one that signs first.
        accept_unsigned: see above.
    """

    __slots__ = ("_keys", "_mac", "_same", "_secrets", "_sign_head", "accept_unsigned")

    def __init__(self, keys: Mapping[str, bytes], *, accept_unsigned: bool = False) -> None:
        import hmac  # noqa: PLC0415  3 ms, for OpenSSL, which only those who sign shall pay

        self._same: Callable[[bytes, bytes], bool] = hmac.compare_digest
        # Made once and copied for each call: half the time of hmac.digest().
        self._keys: dict[str, hmac.HMAC] = {
            name: hmac.new(key, _WORD, "sha256") for name, key in keys.items()
        }
        self._secrets = dict(keys)
        first = next(iter(keys))
        self._mac: hmac.HMAC = self._keys[first]
        self._sign_head: bytes = _HEAD + bytes(msgpack.packb(first)) + _MAC_HEAD
        self.accept_unsigned: bool = accept_unsigned

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of the keys, the one that signs first."""
        return tuple(self._keys)

    def secrets(self) -> dict[str, bytes]:
        """Return id and secret of each key: for the pipe from a worker to its supervisor alone."""
        return dict(self._secrets)

    def sign(self, queue: str, job_id: str, call: bytes) -> bytes:
        """Return a call, signed for one job of one queue."""
        mac = _mac(self._mac, queue, job_id.encode(), call)
        size = len(call)
        if size < 256:
            return b"".join((self._sign_head, mac, b"\xc4", size.to_bytes(), call))
        return b"".join((self._sign_head, mac, b"\xc6", size.to_bytes(4), call))

    def open(self, queue: str, job_id: bytes, blob: bytes) -> bytes:
        """Check the signature of a call, and return the call.

        Args:
            queue: where it was found.
            job_id: the id that stands beside it, whatever a stranger put there.
            blob: what stands there as the call.

        Raises:
            CallUntrusted: it is not signed, or not by who has the key.
            CallTooNew: it is signed by a key that is not known here.
        """
        found = _take_apart(blob)
        if found is None:
            if self.accept_unsigned:
                return blob
            raise CallUntrusted(
                NOT_SIGNED,
                "whoever enqueued it has no signing keys, or is a stranger. Give every producer "
                "signing_keys or JOBQ_SIGNING_KEYS; to bring this one back once you have looked at "
                "it: jobq dlq retry --resign ID",
            )
        key_id, mac, call = found
        key = self._keys.get(key_id)
        if key is None:
            raise _unknown_key(key_id)
        if not self._same(_mac(key, queue, job_id, call), mac):
            raise CallUntrusted(
                BAD_SIGNATURE,
                f"it does not fit key {key_id!r}: the secrets of producer and worker differ, or "
                "the call was changed, or moved to another queue or id. Compare the secrets, then: "
                "jobq dlq retry ID",
            )
        return call

    def __repr__(self) -> str:
        return f"<Signer keys={', '.join(self._keys)}>"

    def __reduce__(self) -> str:
        """Refuse to be copied into bytes, where the secrets would stand in the open."""
        raise TypeError("a Signer cannot be pickled: it holds secrets")


def make_signer(
    keys: Mapping[str, str | bytes], *, accept_unsigned: bool, what: str
) -> Signer | None:
    """Check keys, and return what signs with them; None where there are none.

    Args:
        keys: id and secret of each.
        accept_unsigned: see `Signer`.
        what: how messages call the keys.

    Raises:
        ConfigError: an id or a secret cannot be used; the message has no secret.
    """
    if not isinstance(keys, Mapping):
        raise ConfigError(f"{what} is a {type(keys).__name__}; use a dict, {_FORM}")
    checked = {_key_id(name, what): _secret(secret, name, what) for name, secret in keys.items()}
    return Signer(checked, accept_unsigned=accept_unsigned) if checked else None


def split_keys(text: str, what: str) -> dict[str, str | bytes]:
    """Read keys as a variable has them: ``id:secret,id:secret``.

    Raises:
        ConfigError: it has another form; the message has no secret.
    """
    keys: dict[str, str | bytes] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        key_id, colon, secret = part.partition(":")
        if not colon:
            raise ConfigError(f"{what} has a part without a colon; use id:secret,id:secret")
        if key_id in keys:
            raise ConfigError(f"{what} has the key {key_id[:MOST_KEY_ID]!r} twice")
        keys[key_id] = secret
    return keys


def inner(blob: bytes) -> bytes:
    """Return the call in a signed call, unchecked; whatever else it is comes back as it is."""
    found = _take_apart(blob)
    return blob if found is None else found[2]


def signed_by(blob: bytes) -> str:
    """Return the id of the key that a call says it is signed by, unchecked; empty for none."""
    found = _take_apart(blob)
    return "" if found is None else found[0]


def without_keys(blob: bytes) -> CallTooNew | None:
    """Return why a worker without keys leaves a call to others; None: it is not signed."""
    found = _take_apart(blob)
    if found is None:
        return None
    return _too_new(
        f"the call is signed by key {found[0]!r}, and this worker has no signing keys: give it "
        "JobQ(signing_keys=...) or JOBQ_SIGNING_KEYS"
    )


def _mac(key: "hmac.HMAC", queue: str, job_id: bytes, call: bytes) -> bytes:
    line = queue.encode()
    mac = key.copy()
    mac.update(b"".join((_LENGTHS.pack(len(line), len(job_id)), line, job_id, call)))
    return mac.digest()


def _take_apart(blob: bytes) -> tuple[str, bytes, bytes] | None:
    """Return key id, MAC and call. By hand: msgpack would build what a stranger claims first."""
    if blob[:2] != _HEAD or len(blob) > MAX_CALL_BYTES + _MOST_AROUND:
        return None
    if blob[2:3] == b"\xd9":
        size, at = int.from_bytes(blob[3:4]), 4
    else:
        size, at = int.from_bytes(blob[2:3]) - 0xA0, 3
    if not 1 <= size <= MOST_KEY_ID:
        return None
    key_id = blob[at : at + size].decode("ascii", "replace")
    at += size
    mac = blob[at + 2 : at + 2 + _MAC_BYTES]
    if blob[at : at + 2] != _MAC_HEAD or not _is_key_id(key_id):
        return None
    at += 2 + _MAC_BYTES
    width = _WIDTHS.get(blob[at : at + 1], 0)
    start = at + 1 + width
    if not width or start + int.from_bytes(blob[at + 1 : start]) != len(blob):
        return None
    return key_id, mac, blob[start:]


def _unknown_key(key_id: str) -> CallTooNew:
    return _too_new(
        f"the call is signed by key {key_id!r}, which this worker does not have: add it to its "
        "signing_keys or JOBQ_SIGNING_KEYS"
    )


def _too_new(why: str) -> CallTooNew:
    error = CallTooNew(FORMAT)
    error.args = (why,)
    return error


def _key_id(value: object, what: str) -> str:
    if not isinstance(value, str) or not _is_key_id(value):
        raise ConfigError(
            f"{what}: the id of a key is {shown(value)}; use 1 to {MOST_KEY_ID} printable ASCII "
            "characters without spaces, commas and colons, such as 2026-11"
        )
    return str(value)


def _is_key_id(text: str) -> bool:
    fits = all("!" <= one <= "~" and one not in ",:" for one in text)
    return fits and 1 <= len(text) <= MOST_KEY_ID


def _secret(value: object, key_id: object, what: str) -> bytes:
    if not isinstance(value, str | bytes):
        kind = type(value).__name__
        raise ConfigError(f"{what}: the secret of {key_id!r} is a {kind}; use str or bytes")
    secret = value.encode() if isinstance(value, str) else bytes(value)
    if len(secret) < LEAST_SECRET:
        raise ConfigError(
            f"{what}: the secret of {key_id!r} has {len(secret)} bytes; use {LEAST_SECRET} or "
            "more, such as python -c 'import secrets; print(secrets.token_urlsafe(32))' makes"
        )
    return secret
