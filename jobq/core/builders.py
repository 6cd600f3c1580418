"""Builders: what turns plain data into the Enum, dataclass or model of an annotation."""

import sys
import types
from collections import abc, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, fields, is_dataclass
from enum import Enum
from functools import partial
from inspect import signature
from types import SimpleNamespace
from typing import Annotated, NewType, Protocol, Union, get_args, get_origin, get_type_hints

from jobq.core.hints import shown

Builder = Callable[[object], object]

_LISTS = (list, deque, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection)
_SETS = (set, frozenset, abc.Set, abc.MutableSet)
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)


class _Validate(Protocol):
    def __call__(self, obj: object, **options: bool) -> object: ...


class Misfit(Exception):
    """A value that cannot become what its annotation says; it becomes an ArgumentError.

    Attributes:
        path: where it stands within the argument, such as ``.items[0]``.
        text: what is wrong with it.
    """

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(f"{path} {text}")
        self.text = text
        self.path = path


def resolve_hint(
    annotation: object, scope: Mapping[str, object], type_params: tuple[object, ...] = ()
) -> object:
    """Evaluate one annotation, alone, so that a bad one does not hide the others.

    Args:
        annotation: a type, or the text of one.
        scope: the globals of where it was written.
        type_params: those of the function or class, of Python 3.12.

    Raises:
        Exception: whatever evaluating it raises.
    """
    alone = SimpleNamespace(__annotations__={"it": annotation}, __type_params__=type_params)
    return get_type_hints(alone, dict(scope))["it"]


def builder_of(hint: object) -> Builder | None:
    """Return what rebuilds values of a type, or None if they arrive as they are.

    Args:
        hint: a resolved annotation.

    The builder raises `Misfit` for a value that does not fit.
    """
    origin = get_origin(hint)
    if isinstance(hint, NewType):
        return builder_of(hint.__supertype__)
    if origin is Annotated:
        return builder_of(get_args(hint)[0])
    if type(hint).__name__ == "TypeAliasType":  # `type X = ...` of Python 3.12
        return builder_of(getattr(hint, "__value__", None))
    if origin is Union or origin is types.UnionType:
        return _union(get_args(hint))
    plain = hint if origin is None else origin
    if not isinstance(plain, type):
        return None
    return _class(plain) or _container(plain, get_args(hint))


def optional(build: Builder) -> Builder:
    """Return a builder that leaves None alone."""
    return lambda value: None if value is None else build(value)


def _class(cls: type) -> Builder | None:
    if issubclass(cls, Enum):
        return partial(_enum, cls)
    if callable(getattr(cls, "model_validate", None)):
        return _model(cls)
    if is_dataclass(cls):
        return _Record(cls, {field.name: field for field in fields(cls)})
    names: object = getattr(cls, "_fields", None)
    if issubclass(cls, tuple) and isinstance(names, tuple):
        return _NamedTuple(cls, names)
    return None


def _enum(cls: type[Enum], value: object) -> object:
    try:
        return cls(value)
    except Exception:  # noqa: BLE001  ValueError, or what a user's _missing_ raises
        raise Misfit(f"is {shown(value)}, which is not a value of {cls.__name__}") from None


def _model(cls: type) -> Builder:
    validate: _Validate = getattr(cls, "model_validate")  # noqa: B009  duck-typed
    options: dict[str, bool] = {}
    try:
        # model_dump() wrote field names; without by_name (pydantic 2.11) aliases are expected.
        if "by_name" in signature(validate).parameters:
            options["by_name"] = True
    except (TypeError, ValueError):  # no signature to be had: a validate written in C
        pass

    def build(value: object) -> object:
        try:
            return validate(value, **options)
        except Exception as error:  # noqa: BLE001  pydantic's ValidationError, and what validators raise
            raise Misfit(f"is not a valid {cls.__name__}: {error}") from None

    return build


class _Record:
    """Builds a dataclass; its field types are looked at when the first value comes."""

    __slots__ = ("_builders", "_cls", "_fields")

    def __init__(self, cls: type, by_name: dict[str, Field[object]]) -> None:
        self._cls = cls
        self._fields = by_name
        self._builders: dict[str, Builder] | None = None

    def __call__(self, value: object) -> object:
        cls = self._cls
        if isinstance(value, cls):
            return value
        if not isinstance(value, dict):
            raise Misfit(f"is {shown(value)}, which is not the data of a {cls.__name__}")
        if self._builders is None:
            self._builders = _field_builders(cls, self._fields)
        given: dict[str, object] = {}
        later: dict[str, object] = {}
        for name, item in value.items():
            field = self._fields.get(name)
            if field is None:
                raise Misfit(f"has the field {shown(name)}, which {cls.__name__} has not")
            build = self._builders.get(name)
            rebuilt = item if build is None else _within(f".{name}", build, item)
            (given if field.init else later)[name] = rebuilt
        try:
            instance = cls(**given)
            for name, item in later.items():
                object.__setattr__(instance, name, item)  # the class may be frozen
        except Exception as error:  # noqa: BLE001  a missing field, or what __post_init__ raises
            raise Misfit(f"cannot become a {cls.__name__}: {error}") from None
        return instance


class _NamedTuple:
    """Builds a named tuple from a tuple."""

    __slots__ = ("_builders", "_cls", "_names")

    def __init__(self, cls: type, names: tuple[str, ...]) -> None:
        self._cls = cls
        self._names = names
        self._builders: dict[str, Builder] | None = None

    def __call__(self, value: object) -> object:
        if isinstance(value, self._cls):
            return value
        if not isinstance(value, tuple | list) or len(value) != len(self._names):
            raise Misfit(f"is {shown(value)}, which is not the data of a {self._cls.__name__}")
        if self._builders is None:
            self._builders = _field_builders(self._cls, self._names)
        builders = self._builders
        return self._cls(
            *(
                _within(f".{name}", builders[name], item) if name in builders else item
                for name, item in zip(self._names, value, strict=True)
            )
        )


def _field_builders(cls: type, names: Iterable[str]) -> dict[str, Builder]:
    builders: dict[str, Builder] = {}
    for name in names:
        build = builder_of(_field_hint(cls, name))
        if build is not None:
            builders[name] = build
    return builders


def _field_hint(cls: type, name: str) -> object:
    """Return the type of a field, or None where it cannot be resolved."""
    for owner in cls.__mro__:
        try:
            annotation = owner.__annotations__[name]
            scope = vars(sys.modules[owner.__module__])
            return resolve_hint(annotation, scope, getattr(owner, "__type_params__", ()))
        except (KeyError, AttributeError):
            continue
        except Exception:  # noqa: BLE001  anything; the field keeps its plain data
            return None
    return None


def _union(members: tuple[object, ...]) -> Builder | None:
    pairs = [(member, builder_of(member)) for member in members]
    builders = [build for _, build in pairs if build is not None]
    if not builders:
        return None
    none = any(member is type(None) for member in members)
    plain = any(build is None and member is not type(None) for member, build in pairs)

    def build_first(value: object) -> object:
        if value is None and none:
            return None
        first: Misfit | None = None
        for build in builders:
            try:
                return build(value)
            except Misfit as misfit:
                first = first or misfit
        if plain or first is None:
            return value
        raise first

    return build_first


def _container(plain: type, arguments: tuple[object, ...]) -> Builder | None:
    if plain is tuple:
        return _tuple(arguments)
    if plain in _LISTS or plain in _SETS:
        item = builder_of(arguments[0]) if len(arguments) == 1 else None
        return None if item is None else partial(_each, item)
    if plain in _MAPPINGS and len(arguments) == 2:
        key, item = builder_of(arguments[0]), builder_of(arguments[1])
        return partial(_mapping, key, item) if key or item else None
    return None


def _tuple(arguments: tuple[object, ...]) -> Builder | None:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        every = builder_of(arguments[0])
        return None if every is None else partial(_each, every)
    builders = [builder_of(argument) for argument in arguments]
    return partial(_one_by_one, builders) if any(builders) else None


def _each(build: Builder, value: object) -> object:
    if not isinstance(value, list | tuple | set | frozenset):
        raise Misfit(f"is {shown(value)}, which has no items")
    return type(value)(_within(f"[{i}]", build, item) for i, item in enumerate(value))


def _one_by_one(builders: list[Builder | None], value: object) -> object:
    if not isinstance(value, list | tuple) or len(value) != len(builders):
        raise Misfit(f"is {shown(value)}, which is not a tuple of {len(builders)} items")
    return type(value)(
        item if build is None else _within(f"[{i}]", build, item)
        for i, (build, item) in enumerate(zip(builders, value, strict=True))
    )


def _mapping(key: Builder | None, item: Builder | None, value: object) -> object:
    if not isinstance(value, dict):
        raise Misfit(f"is {shown(value)}, which is not a dict")
    return {
        (name if key is None else _within(" key", key, name)): (
            one if item is None else _within(f"[{shown(name)}]", item, one)
        )
        for name, one in value.items()
    }


def _within(path: str, build: Builder, value: object) -> object:
    try:
        return build(value)
    except Misfit as misfit:
        raise Misfit(misfit.text, path + misfit.path) from None
