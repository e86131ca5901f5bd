"""The words after the method, made into arguments: ``name=value`` is one by keyword, ``@file`` is what is in the file.

Both depend on what the server tells of the method. It is asked only if a word may need that.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from zerorpc.cli.usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zerorpc.cli.parameters import Parameters

    Given = tuple[list[object], dict[str, object]]

LITERAL = "put -- before words that stay as they are, or write @@ for the first @"


class Content(NamedTuple):
    """What a file has in it."""

    file: str
    octets: bytes


class Word(NamedTuple):
    """One word. It has a ``name`` if it may be an argument by keyword; else its ``value`` is known already."""

    number: int
    text: str
    name: str | None
    value: object


class Words:
    """What the user typed after the method; the last ``literal`` words stay as they are.

    Raises UsageError for what can't be an argument, and for a file that can't be read.
    """

    def __init__(self, params: Sequence[str], literal: int = 0, as_json: bool = False) -> None:
        self.as_json: bool = as_json
        self._stdin_is_read = False
        first_literal = len(params) - literal
        self._words = [self._read(number, text, number > first_literal) for number, text in enumerate(params, 1)]
        self._given: Given | None = None

    def arguments(self, ask: Callable[[], Parameters | None]) -> Given:
        """The arguments by position, and those by keyword. ``ask`` says which parameters the method has, None if that
        isn't known; it is called once, and only if a word needs it. Raises what it raises, and UsageError.
        """
        if self._given is None:
            needed = any(word.name is not None or isinstance(word.value, Content) for word in self._words)
            self._given = self._placed(ask() if needed else None)
        return self._given

    def typed_values(self, parameters: Parameters | None) -> list[str]:
        """The words that were sent as text, that no annotation has converted, and that --json would have."""
        named = [] if parameters is None else [word for word in self._words if parameters.has(word.name)]
        unnamed = [word for word in self._words if word not in named]
        found = [(word.text.partition("=")[2], parameters and parameters.of_name(word.name)) for word in named]
        found += [(word.text, parameters and parameters.at(place)) for place, word in enumerate(unnamed)]
        return [text for text, schema in found if not schema and _is_value(text)]

    def unknown_names(self, parameters: Parameters) -> list[str]:
        """What looks like the name of a parameter, and is none."""
        return [word.name for word in self._words if word.name is not None and not parameters.has(word.name)]

    def _read(self, number: int, text: str, literal: bool) -> Word:
        if literal:
            return Word(number, text, None, self._decoded(number, text))
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            return Word(number, text, None, self._value(number, text))
        if self.as_json and not _is_file(value):  # a word that begins with a name is no JSON itself
            self._decoded(number, value)
        return Word(number, text, name, None)

    def _value(self, number: int, text: str) -> object:
        if _is_file(text):
            content = self._content(text.removeprefix("@"))
            return self._decoded(number, _text_of(content, "and so no JSON")) if self.as_json else content
        return self._decoded(number, text[1:] if text.startswith("@@") else text)

    def _decoded(self, number: int, text: str) -> object:
        return _decode_json(number, text) if self.as_json else _decode_text(number, text)

    def _content(self, file: str) -> Content:
        if file == "-":
            return Content("standard input", self._stdin())
        try:
            with open(file, "rb") as opened:
                return Content(file, opened.read())
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise UsageError(f"@{file} can't be read: {why}", LITERAL) from None

    def _stdin(self) -> bytes:
        if self._stdin_is_read:
            raise UsageError("standard input can be one argument only, and two words name it", LITERAL)
        self._stdin_is_read = True
        if sys.stdin is None:
            raise UsageError("standard input is closed", LITERAL)
        try:
            return sys.stdin.buffer.read()
        except OSError as error:
            raise UsageError(f"standard input can't be read: {error.strerror}", LITERAL) from None

    def _placed(self, parameters: Parameters | None) -> Given:
        args: list[object] = []
        kwargs: dict[str, object] = {}
        for word in self._words:
            if word.name is not None and parameters is not None and parameters.has(word.name):
                if word.name in kwargs:
                    raise UsageError(f"{word.name} is given twice")
                value = self._value(word.number, word.text.partition("=")[2])
                kwargs[word.name] = _sent(value, parameters.of_name(word.name))
            else:
                value = word.value if word.name is None else self._unnamed(word)
                args.append(_sent(value, parameters and parameters.at(len(args))))
        return args, kwargs

    def _unnamed(self, word: Word) -> object:
        if self.as_json:
            raise UsageError(f"{word.text} is not JSON, and the method has no parameter {word.name} that is known")
        return _decode_text(word.number, word.text)


def decode_parameters(params: Sequence[str], as_json: bool) -> list[object]:
    """Turn words into values: JSON with ``as_json``, otherwise the text as it is."""
    return Words(params, len(params), as_json).arguments(lambda: None)[0]


def _is_file(text: str) -> bool:
    """Whether a word stands for a file, or for standard input. A lone ``@`` is text."""
    return text == "-" or (len(text) > 1 and text[0] == "@" != text[1])


def _sent(value: object, schema: object) -> object:
    """A file's contents as the parameter wants it: bytes, unless its annotation says that it takes none."""
    if not isinstance(value, Content):
        return value
    return _text_of(value, "and the parameter takes no bytes") if _takes_no_bytes(schema) else value.octets


def _text_of(content: Content, why: str) -> str:
    try:
        return content.octets.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{content.file} is not text in UTF-8, {why}") from None


def _takes_no_bytes(schema: object) -> bool:
    """By its JSON Schema. For all but text, the server reads a text as JSON."""
    if not isinstance(schema, dict) or schema.keys().isdisjoint({"type", "enum", "const", "anyOf", "$ref"}):
        return False
    if "contentEncoding" in schema or schema.get("format") == "binary":
        return False
    members = schema.get("anyOf", [])
    return all(_takes_no_bytes(member) for member in (members if isinstance(members, list) else []))


def _is_value(text: str) -> bool:
    import json

    try:
        return not isinstance(json.loads(text), str)
    except (ValueError, RecursionError):
        return False


def _decode_json(number: int, text: str) -> object:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        import shlex

        raise UsageError(
            f"parameter {number} is not JSON: {text} ({error})",
            f"for text, put its double quotes inside the shell's quotes: {shlex.quote(json.dumps(text))}",
        ) from None


def _decode_text(number: int, text: str) -> str:
    """Text goes out as UTF-8; bytes of the command line that are none came to us as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"parameter {number} is not UTF-8: {text!r}",
            "type it in UTF-8, or write it as JSON and use --json",
        ) from None
    return text
