"""Calls by name: the job function need not be imported where it is called."""

from collections.abc import Mapping
from dataclasses import replace

from jobq.client.bound import BoundCall
from jobq.client.handle import JobHandle
from jobq.client.sending import Sending
from jobq.core.options import parse_options


class NamedCall:
    """Calls by name, with options; `JobQ.options` makes it.

    Args:
        known: how the job functions that are known here are sent, by name.
        unknown: how any other is sent.
        options: for each call.

    Raises:
        OptionError: an option is unknown, or cannot take its value or travel.
    """

    def __init__(
        self, known: Mapping[str, Sending], unknown: Sending, options: Mapping[str, object]
    ) -> None:
        self._known = known
        self._options = options
        # At once, so that a wrong option is told where it is given.
        self._unknown = unknown.with_options(options, _WHERE)

    def send(self, name: str, /, *args: object, **kwargs: object) -> JobHandle[object]:
        """Enqueue a call by the job function's name. See `JobQ.send`."""
        sending = self._sending(name)
        return sending.enqueue(args, kwargs)

    async def asend(self, name: str, /, *args: object, **kwargs: object) -> JobHandle[object]:
        """See `send`."""
        sending = self._sending(name)
        return await sending.aenqueue(args, kwargs)

    def s(self, name: str, /, *args: object, **kwargs: object) -> BoundCall[object]:
        """Return a call by the job function's name as a value. See `JobCall.s`."""
        sending = self._sending(name)
        return BoundCall(sending, args, kwargs, sending.encode(args, kwargs), None)

    def _sending(self, name: str) -> Sending:
        known = self._known.get(name)
        if known is not None:
            return known.with_options(self._options, _WHERE)
        parse_options({"name": name}, where="send()")
        return replace(self._unknown, name=name)


_WHERE = "JobQ.options()"
