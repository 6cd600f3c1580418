"""The job functions of an app, by name: only what is registered ever runs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from inspect import Signature, unwrap
from types import CodeType
from typing import TYPE_CHECKING

from jobq.core.annotations import Function, Rebuild
from jobq.core.options import Policy
from jobq.errors import ConfigError

if TYPE_CHECKING:
    from jobq.core.timetable import Rule


@dataclass(frozen=True, slots=True)
class Definition:
    """A job function, and all that was declared about it.

    Attributes:
        name: by which calls name it.
        function: the function itself.
        queue: where its jobs wait, unless a call says otherwise.
        policy: its retries, timeout and so on.
        is_async: it is an ``async def``.
        rebuild: makes its arguments what their annotations say; None: nothing to do.
        signature: of the function.
        sensitive: which of its arguments are, see `jobq.core.marks`; empty: none.
        rule: the schedule that it was declared with; None: it has none.
    """

    name: str
    function: Function
    queue: str
    policy: Policy
    is_async: bool
    rebuild: Rebuild | None
    signature: Signature
    sensitive: tuple[object, ...] = ()
    rule: "Rule | None" = None


class Registry:
    """The job functions of one app."""

    __slots__ = ("_bare", "_by_name", "_plain", "_wrap", "get", "get_plain")

    def __init__(self) -> None:
        self._by_name: dict[str, Definition] = {}
        self._plain: dict[str, Definition] = {}
        #: The functions without what is around them.
        self._bare: dict[str, Function] = {}
        self._wrap: Callable[[Function], Function] | None = None
        #: Returns the job function of a name, or None.
        self.get: Callable[[str], Definition | None] = self._by_name.get
        #: The same, but None too for those whose jobs must be looked at before they start, because
        #: they can expire. The dict's own: it is called for every job, and costs no other one more.
        self.get_plain: Callable[[str], Definition | None] = self._plain.get

    def add(self, definition: Definition) -> None:
        """Register a job function; the same one again, after a reload, replaces the old.

        Raises:
            ConfigError: another function has that name.
        """
        known = self._bare.get(definition.name)
        if known is not None and not _same(known, definition.function):
            raise ConfigError(
                f"two job functions are named {definition.name!r}: "
                f"{_place(known)} and {_place(definition.function)}. "
                "Give one of them another name with @job(name=...)."
            )
        self._bare[definition.name] = definition.function
        if self._wrap is not None:
            definition = replace(definition, function=self._wrap(definition.function))
        self._put(definition)

    def wrap(self, wrap: Callable[[Function], Function]) -> None:
        """Put something around all functions, and around those that are still to come.

        Args:
            wrap: makes what is called in workers of a function as it was registered; replaces the
                one before.
        """
        self._wrap = wrap
        for name, definition in list(self._by_name.items()):
            self._put(replace(definition, function=wrap(self._bare[name])))

    def _put(self, definition: Definition) -> None:
        self._by_name[definition.name] = definition
        self._plain.pop(definition.name, None)
        if definition.policy.expires is None:
            self._plain[definition.name] = definition

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._by_name)

    def queues(self) -> list[str]:
        """Return the queues that the job functions name, sorted."""
        return sorted({definition.queue for definition in self._by_name.values()})

    def nearest(self, name: str) -> str | None:
        """Return the registered name that looks most like another, for a message; or None."""
        from difflib import get_close_matches  # noqa: PLC0415  only for a message

        near = get_close_matches(name[:200], self.names(), n=1)
        if near:
            return near[0]
        # "send" for "mail.send": the last part alone is what people remember.
        last = name.rsplit(".", 1)[-1]
        ends = [known for known in self.names() if known.rsplit(".", 1)[-1] == last]
        return ends[0] if ends else None


def _same(one: Function, other: Function) -> bool:
    """Tell whether one function is the other, or the other after a reload of its module."""
    if one is other:
        return True
    old, new = _code(one), _code(other)
    if old is None or new is None or old is new:  # one code, two functions: made by a factory
        return False
    return _position(old) == _position(new)


def _code(function: Function) -> CodeType | None:
    code = getattr(unwrap(function), "__code__", None)
    return code if isinstance(code, CodeType) else None


def _position(code: CodeType) -> tuple[str, int, str]:
    return code.co_filename, code.co_firstlineno, code.co_qualname


def _place(function: Function) -> str:
    code = _code(function)
    if code is None:
        return repr(function)
    return f"{code.co_qualname} ({code.co_filename}:{code.co_firstlineno})"
