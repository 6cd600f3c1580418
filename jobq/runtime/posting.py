"""Posting failures to webhooks."""

import contextlib
import http.client
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from jobq.core.clock import Clock, SystemClock
from jobq.core.hooks import Failed, Webhook
from jobq.core.ids import make_job_id
from jobq.core.webhook import body_of, headers_of

log = logging.getLogger("jobq.worker")

#: Seconds that a receiver may take to be connected to, and for each piece of its answer; and for
#: the whole of one try.
TIMEOUT: Final = 5.0
IN_ALL: Final = 10.0

#: Seconds before each try after the first one.
PAUSES: Final = (0.5, 2.0)

#: Seconds for which a receiver that was down is tried once only: a hundred dead jobs are not to
#: wait a hundred times for it.
DOWN: Final = 30.0

#: Answers after which another try may help; a redirect is not followed, for it is another receiver.
AGAIN: Final = frozenset((408, 425, 429, 500, 502, 503, 504))

#: Bytes of an answer that are read.
_MOST: Final = 4096


class Postman:
    """Posts to the webhooks of an app, one after the other.

    Args:
        clock: monotonic, for the receivers that are down.
        hurry: tells whether there is no time for another try: the worker is stopping.
    """

    def __init__(self, clock: Clock, hurry: Callable[[], bool]) -> None:
        self._clock = clock
        self._hurry = hurry
        self._down: dict[str, float] = {}
        self._context: ssl.SSLContext | None = None

    def post(self, webhook: Webhook, event: str, failed: Failed) -> None:
        """Post a failure; what goes wrong is logged."""
        host = urlsplit(webhook.url).netloc  # the rest of the URL can be a secret
        message_id = f"msg_{make_job_id()}"
        # The wall clock of this machine: that of Redis says nothing to a receiver.
        body = body_of(event, failed, round(SystemClock().time(), 3))
        is_down = self._down.get(host, 0.0) > self._clock.monotonic()
        why = ""
        for pause in (0.0, *(() if is_down else PAUSES)):
            if pause > 1 and self._hurry():
                break
            time.sleep(pause)
            status, why = self._try(webhook, message_id, body)
            if 200 <= status < 300:
                self._down.pop(host, None)
                return
            if status and status not in AGAIN:
                break
        self._down[host] = self._clock.monotonic() + DOWN
        log.error("failed webhook host=%s about=%s job=%s error=%s", host, event, failed.id, why)

    def _try(self, webhook: Webhook, message_id: str, body: bytes) -> tuple[int, str]:
        """Post once; the answer is the status, 0 if there is none, and what is wrong with it."""
        try:
            status = self._send(webhook, message_id, body)
        except Exception as error:  # noqa: BLE001  of names, of certificates: hooks go on
            return 0, f"{type(error).__name__}: {error}"[:200]
        return status, f"it answered {status}"

    def _send(self, webhook: Webhook, message_id: str, body: bytes) -> int:
        headers = headers_of(webhook, message_id, body, SystemClock().time())
        parts = urlsplit(webhook.url)
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        connection = self._connection(parts.scheme, parts.hostname or "", parts.port)
        timer = threading.Timer(IN_ALL, lambda: _cut(connection))
        timer.daemon = True
        timer.start()
        try:
            connection.request("POST", target, body, headers)
            response = connection.getresponse()
            response.read(_MOST)
            return response.status
        finally:
            timer.cancel()
            connection.close()

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        if self._context is None:
            self._context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=self._context)


def _cut(connection: http.client.HTTPConnection) -> None:
    """End a try that takes too long: a receiver can send a byte every few seconds."""
    sock = connection.sock
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
