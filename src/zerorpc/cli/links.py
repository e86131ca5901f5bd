"""Binding and connecting: what is said about it, and who is warned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from zerorpc.cli.arguments import WITH_TLS
from zerorpc.cli.printing import note
from zerorpc.cli.trusted import curve_for
from zerorpc.cli.usage import UsageError, program_name
from zerorpc.exposure import is_public

if TYPE_CHECKING:
    from zerorpc import Curve
    from zerorpc.cli.arguments import Arguments


class Linkable(Protocol):
    """What zerorpc.Client and zerorpc.Server have in common."""

    def bind(self, endpoint: str, /, *, mode: int | None = None, owner: str | None = None) -> list[str]:
        """Listen there and return the endpoints really bound."""

    def connect(self, endpoint: str, /, *, curve: Curve | None = ...) -> object:
        """Connect there, now or as soon as somebody listens."""


def open_links(socket: Linkable, arguments: Arguments, exposure: str, told: bool = True) -> None:
    """Bind and connect as the command line says, telling so on stderr, if it is to be ``told``.

    `exposure` says what anybody on the network can do once a public interface is bound.
    """
    for endpoint in arguments.bind:
        bound = _bind(socket, endpoint, arguments)
        for shown in bound if _port_is_chosen(endpoint) else [endpoint]:
            if told:
                note(f'binding to "{shown}"')
        if any(map(is_public, bound)) and not (arguments.anyone_may_call or _asks_who(endpoint, arguments)):
            note(f'warning: "{endpoint}" is open to the network: {exposure}')
    for endpoint in arguments.connect:
        if told:
            note(f'Connecting to "{endpoint}"')
        connect(socket, endpoint, arguments)


def connect(socket: Linkable, endpoint: str, arguments: Arguments) -> None:
    """Connect there, with the server's key if it is trusted. Raises UsageError."""
    known = None if arguments.server else curve_for(endpoint, arguments.curve)
    if known is not None and arguments.user is not None:
        remedy = f"leave out --user, or type: {program_name()} trust --forget {endpoint}"
        raise UsageError(f"{endpoint} is trusted by its key, and would get a password without showing it", remedy)
    if known is None:
        socket.connect(endpoint)
    else:
        socket.connect(endpoint, curve=known)


def _bind(socket: Linkable, endpoint: str, arguments: Arguments) -> list[str]:
    if not endpoint.startswith("ipc://") or (arguments.ipc_mode is None and arguments.ipc_owner is None):
        return socket.bind(endpoint)
    try:
        return socket.bind(endpoint, mode=arguments.ipc_mode, owner=arguments.ipc_owner)
    except ValueError as error:
        raise UsageError(f"--ipc-owner {arguments.ipc_owner}: {error}", "name a user, user:group or :group") from None


def _port_is_chosen(endpoint: str) -> bool:
    """Whether the system chooses the port, so that the endpoint as typed tells nobody where to connect."""
    return endpoint.startswith(("tcp://", "http://", *WITH_TLS)) and endpoint.endswith((":0", ":*"))


def _asks_who(endpoint: str, arguments: Arguments) -> bool:
    """Whether peers have to prove there who they are: by a certificate, or as the file of rights has it."""
    if arguments.server and (arguments.rights is not None or arguments.allow_keys is not None):
        return True
    return endpoint.startswith(WITH_TLS) and arguments.tls_ca is not None
