"""What a client asks of a server by the way: which parameters its methods have, and which are idempotent."""

from __future__ import annotations

from typing import Any

from zerorpc.protocol.channel import STATE_DONE, Answer, ClientChannel
from zerorpc.protocol.events import OK, Buffer

__all__ = ["INSPECT", "Inquiry"]

INSPECT = "_zerorpc_inspect"


class Inquiry(ClientChannel, eq=False):
    """The channel of ``_zerorpc_inspect``. Nobody waits for it: its peer goes on with ``answer``, None until then.

    It has no deadline: the calls that want it have theirs.
    """

    answer: dict[str, Any] | None = None  # by method: its "args", as the server says it
    idempotent: frozenset[str] = frozenset()

    def receive(self, event: Answer, data: Buffer) -> None:
        methods = _methods(event)
        self.idempotent = frozenset(name for name, told in methods.items() if told.get("idempotent") is True)
        self.answer = {name: told.get("args") for name, told in methods.items()}
        self.answered = True
        self.state = STATE_DONE

    def abandon(self, error: Exception | None = None) -> None:
        """The server is lost, or answers nonsense."""
        if self.peer is not None:
            self.peer.forget(self)
        self.fail(error or ConnectionError())

    def fail(self, error: Exception) -> None:
        self.answer = {}
        super().fail(error)


def _methods(event: Answer) -> dict[str, dict[str, Any]]:
    """What is told of each. None, if the server has an error for us, as zerorpc 0.6 does on Python 3.11 and later."""
    try:
        methods = event.args[0]["methods"] if event.name == OK else {}
        return {name: told for name, told in methods.items() if isinstance(told, dict)}
    except (TypeError, LookupError, AttributeError):
        return {}
