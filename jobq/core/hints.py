"""What an error says to do about a value that cannot travel."""

from collections.abc import Awaitable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from io import IOBase
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Final

#: What can travel, for the ends of messages.
TRAVELS: Final = (
    "jobq can send None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset, "
    "datetime, date, time, timedelta, UUID, Decimal, Path, enums, dataclasses and pydantic models."
)

_BY_TYPE: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (type, "Send its name, and look the class up in the job."),
    (
        (FunctionType, BuiltinFunctionType, MethodType, ModuleType),
        "Code does not travel: send a name, and look it up in the job.",
    ),
    (Awaitable, "Await it first, and send the result."),
    (IOBase, "Open files stay in their process: send the path, or the content as bytes."),
    (BaseException, "Send str(value)."),
    (Iterator, "It can be read only once: send list(value)."),
    (Mapping, "Send dict(value)."),
    (AbstractSet, "Send set(value)."),
    (complex, "Send (value.real, value.imag)."),
)
_BY_ATTRIBUTE: Final = (
    ("tolist", "Send value.tolist()."),  # numpy, pandas, array.array
    ("_meta", "Send its primary key, value.pk, and fetch it in the job."),  # Django
    ("__mapper__", "Send its primary key, and fetch it in the job."),  # SQLAlchemy
    ("get_secret_value", "It is a secret, and Redis is no place for it: send its name."),
)


def hint_for(value: object) -> str:
    """Return the fix for a value that cannot travel, as a sentence or two.

    Args:
        value: of a type that jobq does not know.
    """
    for types, hint in _BY_TYPE:
        if isinstance(value, types):
            return hint
    for attribute, hint in _BY_ATTRIBUTE:
        if hasattr(type(value), attribute):
            return hint
    if hasattr(type(value), "__iter__") and hasattr(type(value), "__len__"):
        return "Send list(value)."
    return (
        "Send something simpler, such as str(value), or teach jobq the type with "
        f"app.register_type(). {TRAVELS}"
    )


def type_name(value: object) -> str:
    """Return the qualified name of a value's type, without ``builtins``."""
    cls = type(value)
    builtin = cls.__module__ == "builtins"
    return cls.__qualname__ if builtin else f"{cls.__module__}.{cls.__qualname__}"


def shown(value: object, limit: int = 80) -> str:
    """Return the repr of a value for a message, whatever its class thinks of that.

    Args:
        value: anything.
        limit: the most characters.
    """
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  a broken __repr__, or an int of many digits
        return f"<{type(value).__name__}: its repr raised {type(error).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."
