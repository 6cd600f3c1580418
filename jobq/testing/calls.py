"""Calls that wait, as tests see them: what was enqueued, and whether it is what was expected."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from jobq.client.app import JobQ
from jobq.client.rows import moment
from jobq.core.hints import shown
from jobq.core.lines import Priority
from jobq.core.marks import HEADER, Marked
from jobq.core.registry import Definition
from jobq.core.signing import inner
from jobq.errors import ArgumentError, CallUnreadable, OptionError
from jobq.store.ops.inspect import queues
from jobq.store.ops.waiting import Waiting, waiting


class Named(Protocol):
    """What has the name of a job function, as job functions do."""

    @property
    def name(self) -> str:
        """By which its jobs name it."""
        ...


#: Arguments as they travelled: by position, and by name.
Plain = tuple[list[object], dict[str, object]]


@dataclass(frozen=True, slots=True)
class Call:
    """A job that waits for its first start.

    Attributes:
        job_id: its id.
        name: of the job function.
        args: positional arguments, as the job function will get them.
        kwargs: keyword arguments, the same.
        queue: where it waits.
        priority: within its queue.
        due: when it is due; None: it was not delayed.
    """

    job_id: str
    name: str
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    queue: str
    priority: Priority
    due: datetime | None


@dataclass(frozen=True, slots=True)
class _Read:
    """A call that waits, what travelled, and how it is shown."""

    call: Call
    plain: Plain | None
    shown: str


class Calls:
    """What waits in the queues of an app.

    Args:
        app: knows the job functions, and how arguments travel.
    """

    def __init__(self, app: JobQ) -> None:
        self._app = app

    def of(self, function: Named | str | None) -> list[Call]:
        """List the calls of a job function that wait, queue by queue; None: all calls.

        Args:
            function: itself, or its name.
        """
        name = _name(function)
        return [one.call for one in self._read() if name is None or one.call.name == name]

    def matching(
        self,
        function: Named | str,
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> tuple[list[Call], str]:
        """List the calls with these arguments; with none given, all of the job function.

        Returns:
            The calls; and what was looked for and what there is, for a message.

        Raises:
            ArgumentError: the arguments do not fit.
            NotEncodable: one of them cannot travel.
        """
        name = str(_name(function))
        every = self._read()
        wanted = self.plain(name, args, kwargs) if args or kwargs else None
        found = [
            one.call
            for one in every
            if one.call.name == name and (wanted is None or one.plain == wanted)
        ]
        looked_for = f"{name}(...)" if wanted is None else self._show(name, args, kwargs, {})
        there = "\n".join(f"  {one.shown}" for one in every) or "  nothing"
        return found, f"{looked_for}. What is enqueued:\n{there}"

    def rebuilt(self, name: str, blob: bytes) -> tuple[tuple[object, ...], dict[str, object]]:
        """Return the arguments of an encoded call as the job function gets them.

        Raises:
            CallUnreadable: the bytes are not a call.
        """
        _, args, kwargs, _ = self._app.codec.unpack_call(inner(blob))
        definition = self._app.registry.get(name)
        if definition is not None and definition.rebuild is not None:
            try:
                built, named = definition.rebuild.apply(args, kwargs)
            except Exception:  # noqa: BLE001  what does not fit is shown as it travelled
                return tuple(args), kwargs
            return tuple(built), dict(named)
        return tuple(args), kwargs

    def plain(self, name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> Plain:
        """Return arguments as they travel, with the defaults of the job function filled in.

        Raises:
            ArgumentError: they do not fit.
            NotEncodable: one of them cannot travel.
        """
        definition = self._app.registry.get(name)
        if definition is not None:
            args, kwargs = _bound(definition, args, kwargs)
        codec = self._app.codec
        _, sent, named, _ = codec.unpack_call(codec.encode_call(name, args, kwargs))
        return sent, named

    def _read(self) -> list[_Read]:
        run = self._app.store.run
        return [
            self._read_one(queue, one) for queue in run(queues()) for one in run(waiting(queue))
        ]

    def _read_one(self, queue: str, one: Waiting) -> _Read:
        due = None if one.due_ms is None else moment(one.due_ms)
        place = [f"in {queue}"]
        if one.priority != "normal":
            place.append(f"priority {one.priority}")
        if due is not None:
            place.append(f"due {due:%Y-%m-%d %H:%M:%S} UTC")
        try:
            name, args, kwargs, headers = self._app.codec.unpack_call(inner(one.call))
        except CallUnreadable as error:
            nobody = Call(one.job_id, "", (), {}, queue, one.priority, due)
            return _Read(nobody, None, f"a call that cannot be read: {error}")
        built, named = self.rebuilt(name, one.call)
        call = Call(one.job_id, name, built, named, queue, one.priority, due)
        try:
            plain = self.plain(name, args, kwargs)
        except ArgumentError:  # they are of another release of the function
            plain = None
        shown = self._show(name, built, named, headers)
        return _Read(call, plain, f"{shown}  {', '.join(place)}")

    def _show(
        self,
        name: str,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        headers: Mapping[str, object],
    ) -> str:
        definition = self._app.registry.get(name)
        marks = headers.get(HEADER) or (definition.sensitive if definition is not None else ())
        args, kwargs = Marked(marks).shown(args, kwargs)
        parts = [repr(value) for value in args]
        parts += [f"{key}={value!r}" for key, value in kwargs.items()]
        return f"{name}({', '.join(parts)})"


def _bound(
    definition: Definition, args: Iterable[object], kwargs: Mapping[str, object]
) -> tuple[tuple[object, ...], dict[str, object]]:
    name, signature = definition.name, definition.signature
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ArgumentError(f"{name}: {error}. Its signature: {name}{signature}") from None
    bound.apply_defaults()
    return bound.args, bound.kwargs


def _name(function: Named | str | None) -> str | None:
    if function is None or isinstance(function, str):
        return function
    name: object = getattr(function, "name", None)
    if not isinstance(name, str):
        raise OptionError(f"{shown(function)} is no job function: put @job on it, or give its name")
    return name
