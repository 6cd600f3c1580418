"""What is posted to webhooks, and how it is signed: as https://www.standardwebhooks.com says.

Three headers: ``webhook-id`` (the same for each try of one event), ``webhook-timestamp`` (seconds
since 1970) and ``webhook-signature``: ``v1,`` and, in base64, the HMAC-SHA256 of id, timestamp and
body, with dots between them. Receivers can check it with the libraries of that standard.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from jobq.core.hints import shown
from jobq.core.hooks import EVENTS, Failed, Webhook
from jobq.errors import OptionError

#: Bytes. Shorter secrets can be guessed.
LEAST_SECRET: Final = 16

#: Seconds that a message may be old, or from the future, for `is_genuine`.
TOLERANCE: Final = 300.0

#: What stands before a secret in base64, by the standard; any other secret is its bytes in UTF-8.
_BASE64: Final = "whsec_"

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"

_MOST_SIGNATURES: Final = 20
_PRINTABLE: Final = re.compile(r"[!-~]{1,2000}")


def check_webhook(webhook: Webhook) -> Webhook:
    """Return a webhook that can be used.

    Raises:
        OptionError: its URL, its secret or its events cannot be used.
    """
    url, events = webhook.url, webhook.events
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")
    except (AttributeError, TypeError, ValueError):
        raise OptionError(f"app.webhook() takes a URL; got {shown(url)}") from None
    if not isinstance(url, str) or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise OptionError("app.webhook() takes a URL of http or https, such as https://ops.test/in")
    if _PRINTABLE.fullmatch(url) is None or port == 0:
        raise OptionError("app.webhook(): the URL has characters, or a port, that no URL has")
    if parts.username is not None or parts.password is not None:
        raise OptionError("app.webhook(): no user or password in the URL; check the signature")
    if not isinstance(webhook.secret, str) or len(_key(webhook.secret)) < LEAST_SECRET:
        raise OptionError(f"app.webhook(secret=...): use {LEAST_SECRET} bytes or more")
    if not events or any(event not in EVENTS for event in events):
        raise OptionError(f"app.webhook(events=...) is {shown(events)}; use some of {EVENTS}")
    return webhook


def body_of(event: str, failed: Failed, now: float) -> bytes:
    """Return what is posted, as JSON.

    Args:
        event: one of `jobq.core.hooks.EVENTS`.
        now: seconds since 1970.
    """
    data = {
        "id": failed.id,
        "name": failed.name,
        "queue": failed.queue,
        "attempt": failed.attempt,
        "attempts": failed.attempts,
        "dead": failed.dead,
        "reason": failed.reason,
        "error": failed.error,
        "message": failed.message,
        "traceback": failed.traceback,
        "headers": dict(failed.headers),
    }
    return json.dumps({"type": f"job.{event}", "timestamp": now, "data": data}).encode()


def headers_of(webhook: Webhook, message_id: str, body: bytes, now: float) -> dict[str, str]:
    """Return the headers of a message.

    Args:
        now: seconds since 1970.
    """
    stamp = str(int(now))
    return {
        "Content-Type": "application/json",
        "User-Agent": "jobq",
        ID: message_id,
        TIMESTAMP: stamp,
        SIGNATURE: _signature(webhook.secret, message_id, stamp, body),
    }


def is_genuine(
    headers: Mapping[str, str], body: bytes, secret: str, now: float, tolerance: float = TOLERANCE
) -> bool:
    """Tell whether a message was signed with a secret, not long ago.

    Args:
        headers: those of the request; their case does not matter.
        body: the bytes of the request, as they came.
        now: seconds since 1970.
        tolerance: seconds that it may be old, or from the future.

    Raises:
        OptionError: the secret is none, such as one that was left empty: anybody could sign.
    """
    if len(_key(secret)) < LEAST_SECRET:
        raise OptionError(f"verify(secret=...): use {LEAST_SECRET} bytes or more, as the sender")
    from hmac import compare_digest  # noqa: PLC0415  3 ms, for OpenSSL

    found = {name.lower(): value for name, value in headers.items()}
    message_id, stamp = found.get(ID, ""), found.get(TIMESTAMP, "")
    if not (message_id and stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        return False
    wanted = _signature(secret, message_id, stamp, body).encode()
    given = found.get(SIGNATURE, "").split(" ")[:_MOST_SIGNATURES]
    # Each of them, whatever came before: how long it takes tells nothing.
    signed = sum(compare_digest(wanted, one.encode("utf-8", "replace")) for one in given)
    return signed > 0 and abs(now - int(stamp)) <= tolerance


def _signature(secret: str, message_id: str, stamp: str, body: bytes) -> str:
    import hmac  # noqa: PLC0415  3 ms, for OpenSSL

    signed = b".".join((message_id.encode("utf-8", "replace"), stamp.encode(), body))
    mac = hmac.digest(_key(secret), signed, "sha256")
    return "v1," + base64.b64encode(mac).decode()


def _key(secret: str) -> bytes:
    if secret.startswith(_BASE64):
        try:
            return base64.b64decode(secret.removeprefix(_BASE64), validate=True)
        except (binascii.Error, ValueError):
            return b""
    return secret.encode("utf-8", "surrogatepass")
