"""What a client asks of a server by the way: which parameters its methods have, and which are idempotent."""

from __future__ import annotations

from typing import Any

from zerorpc.protocol.channel import STATE_DONE, Answer, ClientChannel
from zerorpc.protocol.events import OK, Buffer

__all__ = ["INSPECT", "TELL", "Inquiry"]

INSPECT = "_zerorpc_inspect"  # of an older server
TELL = "_zpc_methods"  # of one of ours: the same, and what no older client would understand


class Inquiry(ClientChannel, eq=False):
    """The channel of one of the two. Nobody waits for it: its peer goes on with ``answer``, None until then.

    It has no deadline: the calls that want it have theirs.
    """

    answer: dict[str, Any] | None = None  # by method: its "args", as the server says it
    idempotent: frozenset[str] = frozenset()
    answers: str | None = None  # which ones it keeps by key

    def receive(self, event: Answer, data: Buffer) -> None:
        told = _told(event)
        methods = {name: method for name, method in _map(told.get("methods")).items() if isinstance(method, dict)}
        self.idempotent = frozenset(name for name, method in methods.items() if method.get("idempotent") is True)
        answers = told.get("answers")
        self.answers = answers if isinstance(answers, str) else None
        self.answer = {name: method.get("args") for name, method in methods.items()}
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


def _told(event: Answer) -> dict[str, Any]:
    """Nothing, if the server has an error for us, as zerorpc 0.6 does on Python 3.11 and later."""
    args = event.args
    return _map(args[0]) if event.name == OK and isinstance(args, list) and args else {}


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
