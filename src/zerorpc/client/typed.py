"""``zerorpc.typed``: a client that type checkers and editors see as the class that is served."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from zerorpc.client.call_options import HasCore
from zerorpc.client.options import options
from zerorpc.client.results import results_for
from zerorpc.client.typed_results import Conversion, Results
from zerorpc.not_picklable import NotPicklable
from zerorpc.service.schema import Schema

__all__ = ["typed"]

_T = TypeVar("_T")


def typed(client: HasCore, kind: Callable[..., _T]) -> _T:
    """The client as a ``kind``: its methods are the remote ones, and type checkers and editors know them.

    ::

        stage = zerorpc.typed(zerorpc.Client("tcp://stage:4242"), Stage)
        stage.step(Axis.X, 3)       # checked, completed, and the result is what Stage's annotation says

    Arguments: ``client`` a Client, an AsyncClient or what ``zerorpc.options`` makes of one; ``kind`` the class that is
    served, or one that only says what its methods take and return. For an AsyncClient its methods are written as
    coroutines, and those that stream as returning an ``AsyncIterator``.

    Results, and the items of streams, are converted to the annotations, which the other side's values fit in their
    natural form: a map becomes a dataclass, a text a date. What doesn't fit raises InvalidResult. The class isn't made,
    and its code isn't run. A name that it doesn't have is an AttributeError at once.

    Raises TypeError for other arguments. Safe from any thread that may use the client, which it keeps open.
    """
    if not inspect.isclass(kind):
        raise TypeError(f"typed() needs the class whose methods are called, not {kind!r}")
    view = options(client)
    if view._options.in_background:
        raise TypeError("typed() is not for async_=True: its calls give AsyncResults, which the class knows nothing of")
    if view._options.out is not None:
        raise TypeError("typed() is not for out=: what the class's methods return isn't what is put there")
    return cast("_T", _Typed(view, kind, results_for(view._core)))


class _Typed(NotPicklable):
    """Its attributes are the remote methods that the class has; it has none of its own."""

    __slots__ = ("_kind", "_make_results", "_methods", "_view")

    def __init__(
        self, view: Callable[..., object], kind: type, make_results: Callable[[str, Conversion], Results]
    ) -> None:
        self._view = view
        self._make_results = make_results
        self._kind = kind
        self._methods: dict[str, Callable[..., Any]] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found = self._methods.get(name)
        if found is None:
            found = self._methods[name] = self._method(name)
        return found

    def _method(self, name: str) -> Callable[..., Any]:
        function = getattr(self._kind, name, None)
        if name.startswith("_") or not callable(function):
            raise AttributeError(f"{self._kind.__name__} has no method {name!r}{_nearest(name, self._kind)}")
        results = self._make_results(name, Schema(name, function))
        view = self._view

        def call(*args: object, **kwargs: object) -> Any:
            return results.of(view(name, *args, **kwargs))

        return call

    def __repr__(self) -> str:
        return f"<typed {self._kind.__name__} of {self._view!r}>"


def _nearest(name: str, kind: type) -> str:
    import difflib  # only mistakes need it

    names = [each for each in dir(kind) if not each.startswith("_") and callable(getattr(kind, each, None))]
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {near[0]!r}?" if near else ""
