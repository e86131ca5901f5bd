"""A client with ``retry=``: each call that has no such option of its own gets the client's."""

from __future__ import annotations

from typing import Any

from zerorpc.client.call_options import UNCHANGED, CallOptions, take_old_spelling
from zerorpc.settings import ClientSettings

__all__ = ["Repeating"]

_USUAL = CallOptions()


class Repeating:
    """Stands before a client's core. A class of its own, so that a call without costs nothing."""

    settings: ClientSettings
    old_spelling: tuple[str, ...]

    def call(
        self,
        method: str | bytes,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: CallOptions | None = None,
    ) -> Any:
        """``Client.__call__``, or that of an AsyncClient."""
        if options is None:
            options = take_old_spelling(self.old_spelling, kwargs) or _USUAL
        if options.retry is UNCHANGED:
            options = options._replace(retry=self.settings.retry)
        return super().call(method, args, kwargs, options)  # type: ignore[misc]  # the core stands behind it
