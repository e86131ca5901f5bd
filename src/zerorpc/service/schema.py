"""What a method's annotations say of its arguments and its result, and the checks that follow from it.

It is decided once, when the method is registered. What has no annotation, or one that says nothing, takes anything; a
method of which that is true of all parameters runs as it was written.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import functools
import inspect
import sys
import types
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from zerorpc.logs import Logger
from zerorpc.service.annotations import alternatives
from zerorpc.service.conversion import converter_of
from zerorpc.service.mismatch import Converter, Mismatch, Unsupported
from zerorpc.service.stream_parameters import Items
from zerorpc.shown import message_of, name_of

__all__ = ["ITERATORS", "Misgiven", "Misreturned", "Schema", "evaluated", "showing"]

logger: Logger = Logger("zerorpc.server")


class Misgiven(TypeError):
    """An argument isn't what the method's annotation says. The method was not entered."""


class Misreturned(TypeError):
    """A result isn't."""


ITERATORS = (Iterator, Iterable, Generator, AsyncIterator, AsyncIterable, AsyncGenerator)


class Schema:
    """Of one method: ``function``, of whose parameters those in ``streams`` take a stream. ``yields``: it gives items,
    which its result's annotation has in brackets. ``strict``: natural forms, such as a date's text, don't pass. Never
    changed, and so safe from any thread.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., object],
        streams: Mapping[str, str] = types.MappingProxyType({}),
        yields: bool = False,
        strict: bool = False,
        text_keys: bool = False,
    ) -> None:
        self._name = name
        self._how = strict, text_keys
        self._of_text: Callable[[], Schema] = lambda: Schema(name, function, streams, yields, text_keys=True)
        self.positional: list[tuple[int, str, Converter]] = []
        self.named: dict[str, Converter] = {}
        self.rest: tuple[int, str, Converter] | None = None  # *args: from which place on
        self.rest_named: Converter | None = None  # **kwargs
        self.result: Converter | None = None  # of each item, if it
        self.iterates: bool = yields
        try:
            signature = inspect.signature(function)
        except BaseException:  # Python can't tell, as of some built-ins; or a program's own raises
            return
        if signature.return_annotation is not signature.empty:
            self._add_result(signature.return_annotation, function, yields)
        for place, parameter in enumerate(signature.parameters.values()):
            if parameter.annotation is not parameter.empty:
                self._add(place, parameter, function, parameter.name in streams)

    def _add(self, place: int, parameter: inspect.Parameter, function: object, streams: bool) -> None:
        name = parameter.name
        try:
            annotation = evaluated(parameter.annotation, function)
            converter = converter_of(_item_of(annotation) if streams else annotation, *self._how)
        except BaseException as error:  # an annotation is a program's object, which may raise anything
            tell = logger.info if isinstance(error, Unsupported) else logger.warning
            tell("%s takes anything as %s: %s", self._name, name, message_of(error))
            return
        if converter is None:
            return
        if streams:
            converter = self._of_each(name, converter)
        if parameter.default is None:  # ``name: str = None``, as it was once written
            converter = _or_none(converter)
        if parameter.kind is parameter.VAR_POSITIONAL:
            self.rest = place, name, converter
        elif parameter.kind is parameter.VAR_KEYWORD:
            self.rest_named = converter
        else:
            if parameter.kind is not parameter.KEYWORD_ONLY:
                self.positional.append((place, name, converter))
            if parameter.kind is not parameter.POSITIONAL_ONLY:
                self.named[name] = converter

    def _add_result(self, written: object, function: Callable[..., object], yields: bool) -> None:
        try:
            annotation = evaluated(written, function)
            iterates = get_origin(annotation) in ITERATORS
            self.iterates = yields or iterates
            if yields and not iterates:  # @stream: what it returns has items
                annotation = get_args(annotation)[0] if get_origin(annotation) in (list, set, frozenset) else Any
            self.result = converter_of(_item_of(annotation) if iterates else annotation)
        except BaseException as error:  # as in ``_add``
            tell = logger.info if isinstance(error, Unsupported) else logger.warning
            tell("%s may return anything: %s", self._name, message_of(error))

    @property
    def arguments(self) -> bool:
        """Whether there is an argument to be checked."""
        return bool(self.positional or self.named or self.rest or self.rest_named)

    def convert(self, args: Sequence[object], kwargs: dict[str, object]) -> tuple[list[object], dict[str, object]]:
        """What the method gets. Raises Misgiven for the first argument that isn't what its annotation says.

        Whether all are there, and no more, is the method's own business.
        """
        given = list(args)
        for place, name, converter in self.positional:
            if place < len(given):
                given[place] = self._converted(name, converter, given[place])
        if self.rest is not None:
            first, name, converter = self.rest
            for place in range(first, len(given)):
                given[place] = self._converted(f"{name}[{place - first}]", converter, given[place])
        if kwargs:
            named, others = self.named, self.rest_named
            kwargs = {
                name: value if (found := named.get(name, others)) is None else self._converted(name, found, value)
                for name, value in kwargs.items()
            }
        return given, kwargs

    @functools.cached_property
    def for_words(self) -> Schema:
        """The same for texts that somebody typed: one that isn't what the annotation says may be it as JSON, or bytes.

        What it makes of them also passes this one.
        """
        return self._with_each(_of_word)

    @functools.cached_property
    def for_json(self) -> Schema:
        """The same for values of JSON, where bytes are a text in base64."""
        return self._with_each(_of_json)

    def _with_each(self, change: Callable[[Converter], Converter]) -> Schema:
        """One with natural forms, and other converters."""
        lenient = self._of_text()
        schema = copy.copy(lenient)
        schema.positional = [(place, name, change(converter)) for place, name, converter in lenient.positional]
        schema.named = {name: change(converter) for name, converter in lenient.named.items()}
        if lenient.rest is not None:
            schema.rest = (*lenient.rest[:2], change(lenient.rest[2]))
        if lenient.rest_named is not None:
            schema.rest_named = change(lenient.rest_named)
        return schema

    def _converted(self, name: str, converter: Converter, value: object) -> Any:
        try:
            return converter(value)
        except Mismatch as error:
            why = f"{name}{error.path}: {error.why}"
        except Exception as error:  # a class of the program's raised it
            why = f"{name}: {name_of(error)}: {message_of(error)}"
        raise Misgiven(f"{self._name}(): {why}")

    def whole(self, value: object) -> Any:
        """A result, converted. Of an iterator's annotation it may be a list of the items; an iterator is left alone."""
        if self.result is None or (self.iterates and not isinstance(value, list)):
            return value
        return (
            list(map(_counted(self.result), value)) if isinstance(value, list) and self.iterates else self.result(value)
        )

    def check_result(self, value: object) -> Any:
        """A result, as it is. Raises Misreturned for what the annotation excludes."""
        return self._checked(self.whole, value)

    def check_item(self, item: object) -> Any:
        """The same for an item of what streams."""
        return item if self.result is None else self._checked(self.result, item)

    def _checked(self, converter: Converter, value: object) -> Any:
        try:
            converter(value)
        except Mismatch as error:
            raise Misreturned(f"{self._name}(): the result{error.path}: {error.why}") from None
        return value

    def around(self, function: Callable[..., object]) -> Callable[..., Any]:
        """The method with its arguments converted first."""

        def converted(*args: object, **kwargs: object) -> Any:
            args, kwargs = self.convert(args, kwargs)  # type: ignore[assignment]
            return function(*args, **kwargs)

        return showing(converted, function)

    def _of_each(self, name: str, converter: Converter) -> Converter:
        """For a parameter that takes a stream: its items as they come, or those of a list."""

        def convert(value: object) -> Any:
            each = _counted(converter)
            if isinstance(value, Items):
                value.convert = functools.partial(self._converted_item, name, each)
                return value
            if not isinstance(value, (list, tuple, set, frozenset)):
                raise Mismatch(f"expected a stream or a list, got {type(value).__name__}")
            return [each(item) for item in value]

        return convert

    def _converted_item(self, name: str, converter: Converter, item: object) -> Any:
        """The method runs already: this is raised to it."""
        try:
            return self._converted(name, converter, item)
        except Misgiven as error:
            raise TypeError(message_of(error)) from None


def _item_of(annotation: object) -> Any:
    """What is in the brackets of an iterator; Any for something else, which may take more than a stream."""
    kinds = [kind for kind in alternatives(annotation) if kind is not types.NoneType]
    items = get_args(kinds[0]) if len(kinds) == 1 and get_origin(kinds[0]) in ITERATORS else ()
    return items[0] if items else Any


def showing(wrapper: Callable[..., object], wrapped: Callable[..., object]) -> Callable[..., Any]:
    """``functools.wraps``, also for a program's own callable, whose attributes may raise anything."""
    with contextlib.suppress(BaseException):
        functools.update_wrapper(wrapper, wrapped)
    wrapper.__wrapped__ = wrapped  # type: ignore[attr-defined]
    return wrapper


def _or_none(converter: Converter) -> Converter:
    return lambda value: None if value is None else converter(value)


def _of_word(converter: Converter) -> Converter:
    def convert(word: object) -> Any:
        try:
            return converter(word)
        except Mismatch as error:
            if not isinstance(word, str):
                raise
            mismatch = error
        try:
            typed = _typed(word)
        except (ValueError, RecursionError) as error:  # no JSON
            with contextlib.suppress(Mismatch):
                return converter(word.encode(errors="surrogateescape"))
            why = f", which is no JSON: {message_of(error)}" if word[:1] in ("[", "{", '"') else ""
            raise _of_the_word(mismatch, word, why) from None
        try:
            return converter(typed)
        except Mismatch as error:
            raise _of_the_word(error, word) from None

    return convert


def _typed(word: str) -> object:
    """What it stands for, as JSON or Python has it. Raises ValueError."""
    if word in _JSON:
        return _JSON[word]
    try:
        return msgspec.json.decode(word)
    except ValueError:
        with contextlib.suppress(ValueError):
            return float(word)  # .5 and inf
        if word[-1:] == "j":
            return complex(word)
        raise


def _of_the_word(mismatch: Mismatch, word: str, why: str = "") -> Mismatch:
    """Showing what was typed, and not only of which type that is."""
    expected, got, kind = mismatch.why.rpartition(", got ")
    if mismatch.path or not got or not kind.isidentifier():
        return mismatch
    return Mismatch(f"{expected}, got {word[:_LONGEST_WORD]!r}{why}")


def _of_json(converter: Converter) -> Converter:
    def convert(value: object) -> Any:
        try:
            return converter(value)
        except Mismatch:
            if not isinstance(value, str):
                raise
            try:
                octets = base64.b64decode(value, validate=True)
            except ValueError:
                octets = None
            if octets is None:
                raise
            with contextlib.suppress(Mismatch):
                return converter(octets)
            raise

    return convert


_LONGEST_WORD = 100  # characters of one that an error shows
_JSON = {"True": True, "False": False, "None": None}  # as Python has it


def _counted(converter: Converter) -> Converter:
    count = -1

    def convert(value: object) -> Any:
        nonlocal count
        count += 1
        try:
            return converter(value)
        except Mismatch as error:
            raise Mismatch(error.why, f"[{count}]{error.path}") from None

    return convert


def evaluated(annotation: object, function: object) -> Any:
    """What an annotation that is written as a text means, where the function was written. Raises Unsupported."""
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    inner = inspect.unwrap(inner)
    if isinstance(inner, type):
        inner = vars(inner).get("__init__", inner)
    elif not inspect.isroutine(inner):
        inner = type(inner).__call__
    names = getattr(inner, "__globals__", None)
    if names is None:
        names = vars(sys.modules.get(getattr(inner, "__module__", ""), types.SimpleNamespace()))
    try:
        hints = get_type_hints(types.SimpleNamespace(__annotations__={"it": annotation}), names, include_extras=True)
    except BaseException as error:
        raise Unsupported(f"{name_of(error)}: {message_of(error)}") from None
    return hints["it"]
