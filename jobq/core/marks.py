"""Sensitive arguments: which they are, and how that travels with a call.

A call of a job function with ``sensitive=`` carries the header ``s``, a list of what is sensitive:

=================  =====================================================
item               what it marks
=================  =====================================================
0 or a higher int  the argument at this position
a negative int     all positions from ``-1 - n`` on
text               the argument of this name
``**``             all arguments by name
``*``              everything
=================  =====================================================

So whoever shows a call needs neither the app nor the function. What cannot be understood marks
everything.
"""

from collections.abc import Iterable, Mapping, Sequence
from inspect import Parameter, Signature
from typing import Final

from jobq.errors import OptionError

#: The header of a call.
HEADER: Final = "s"
#: What stands for a value.
WORD: Final = "[redacted]"

EVERYTHING: Final = "*"
ALL_NAMES: Final = "**"


class Redacted:
    """What stands for a sensitive value in a view."""

    __slots__ = ()

    def __repr__(self) -> str:
        return WORD


REDACTED: Final = Redacted()


def marks_of(sensitive: Sequence[str], signature: Signature) -> list[object]:
    """Return the header for a job function.

    Args:
        sensitive: names of its parameters.
        signature: of the function.

    Raises:
        OptionError: it has no such parameter; lists those it has.
    """
    if EVERYTHING in sensitive:
        return [EVERYTHING]
    parameters = signature.parameters
    takes_any = any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values())
    marks: list[object] = []
    for name in dict.fromkeys(sensitive):
        if name in parameters:
            marks += _marks_of_one(name, signature)
        elif takes_any and name.isidentifier():
            marks.append(name)
        else:
            known = ", ".join(parameters) or "none"
            raise OptionError(f"@job: sensitive names {name!r}; the parameters are: {known}")
    return marks


def _marks_of_one(name: str, signature: Signature) -> list[object]:
    kind = signature.parameters[name].kind
    at = list(signature.parameters).index(name)
    if kind is Parameter.VAR_KEYWORD:
        return [ALL_NAMES]
    if kind is Parameter.VAR_POSITIONAL:
        return [-1 - at]
    if kind is Parameter.KEYWORD_ONLY:
        return [name]
    return [at] if kind is Parameter.POSITIONAL_ONLY else [at, name]


class Marked:
    """Which arguments of a call are sensitive.

    Args:
        marks: the header of the call, whatever a stranger wrote there.
    """

    __slots__ = ("_all", "_all_names", "_from", "_names", "_places")

    def __init__(self, marks: object) -> None:
        known = isinstance(marks, list | tuple) and all(type(one) in {int, str} for one in marks)
        items: Iterable[object] = marks if known else (EVERYTHING,)  # type: ignore[assignment]
        every = list(items)
        self._names = {one for one in every if isinstance(one, str)}
        self._places = {one for one in every if isinstance(one, int)}
        self._all = EVERYTHING in self._names
        self._all_names = self._all or ALL_NAMES in self._names
        open_ends = [-1 - one for one in self._places if one < 0]
        self._from = min(open_ends) if open_ends else None

    def has(self, place: int | str) -> bool:
        """Tell whether the argument at a position, or of a name, is sensitive."""
        if not isinstance(place, int):
            return self._all_names or place in self._names
        beyond = self._from is not None and place >= self._from
        return self._all or beyond or place in self._places

    def shown(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        """Return arguments as they may be shown."""
        return (
            tuple(REDACTED if self.has(at) else value for at, value in enumerate(args)),
            {name: REDACTED if self.has(name) else value for name, value in kwargs.items()},
        )

    def secrets(self, args: Sequence[object], kwargs: Mapping[str, object]) -> list[object]:
        """Return the values that nobody may see."""
        by_place = [value for at, value in enumerate(args) if self.has(at)]
        return by_place + [value for name, value in kwargs.items() if self.has(name)]
