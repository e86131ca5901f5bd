"""The exception tree: what catches what, and what each error says."""

from __future__ import annotations

import copy
import errno
import pickle
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

import zerorpc
from zerorpc import errors

TREE = {
    errors.EndpointError: (ValueError, errors.EndpointError("x", "why", malformed=True)),
    errors.AddressInUse: (OSError, errors.AddressInUse("tcp://a:1")),
    errors.CertificateError: (ValueError, errors.CertificateError("why")),
    errors.Closed: (RuntimeError, errors.Closed("closed")),
    errors.TimeoutExpired: (TimeoutError, errors.TimeoutExpired(1)),
    errors.Cancelled: (RuntimeError, errors.Cancelled("given up")),
    errors.LostRemote: (ConnectionError, errors.LostRemote("lost")),
    errors.RemoteError: (Exception, errors.RemoteError("ValueError", "why", "Traceback ...")),
    errors.UnknownMethod: (LookupError, errors.UnknownMethod("NameError", "f", "Traceback ...", ran=False, method="f")),
    errors.PermissionDenied: (
        PermissionError,
        errors.PermissionDenied("PermissionError", "bob may not call f", "Traceback ...", ran=False, method="f"),
    ),
    errors.WrongArguments: (TypeError, errors.WrongArguments("TypeError", "f()", "Traceback ...", ran=False)),
    errors.InvalidArguments: (
        errors.WrongArguments,
        errors.InvalidArguments("TypeError", "f(): x: expected int, got str", "Traceback ...", ran=False, method="f"),
    ),
    errors.ServerOverloaded: (errors.RemoteError, errors.ServerOverloaded("ServerOverloaded", "why", None, ran=False)),
    errors.ServerStopping: (errors.RemoteError, errors.ServerStopping("ServerStopping", "why", None, ran=False)),
    errors.WorkerDied: (errors.RemoteError, errors.WorkerDied("WorkerDied", "why", "Traceback ...", method="f")),
    errors.InvalidResult: (TypeError, errors.InvalidResult("the result of f: expected int, got str")),
    errors.SerializationError: (TypeError, errors.SerializationError("no")),
    errors.NotSupported: (TypeError, errors.NotSupported("no keyword arguments")),
    errors.UnknownService: (LookupError, errors.UnknownService("no service x")),
    errors.ProtocolError: (Exception, errors.ProtocolError("no")),
    errors.HandshakeFailed: (PermissionError, errors.HandshakeFailed("no")),
}


@pytest.mark.parametrize("kind", TREE)
def test_the_root_and_the_builtin_counterpart_catch_it(kind: type[Exception]) -> None:
    builtin, error = TREE[kind]
    for base in (errors.ZeroRPCError, builtin):
        with pytest.raises(base):
            raise error


def test_the_tree_is_complete_and_exported() -> None:
    named = {getattr(errors, name) for name in errors.__all__}
    assert named == {errors.ZeroRPCError, *TREE}
    assert all(getattr(zerorpc, kind.__name__) is kind for kind in named)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in named)


def test_programs_of_zerorpc_06_find_them_in_exceptions() -> None:
    import zerorpc.exceptions as old

    for name in ("LostRemote", "TimeoutExpired", "RemoteError"):
        assert getattr(old, name) is getattr(zerorpc, name)
    assert zerorpc.exceptions is old


def test_what_they_say() -> None:
    malformed = str(errors.EndpointError("nonsense", "it has no scheme", malformed=True))
    assert malformed.startswith("'nonsense' is no endpoint: it has no scheme; accepted forms: tcp://")
    assert str(errors.EndpointError("tcp://a:1", "not bound to it")) == "endpoint 'tcp://a:1': not bound to it"
    assert str(errors.AddressInUse("tcp://a:1")) == "address already in use: tcp://a:1"
    assert str(errors.TimeoutExpired(3)) == "timeout after 3s"
    assert str(errors.TimeoutExpired(3, "calling f")) == "timeout after 3s, when calling f"
    assert str(errors.RemoteError("ValueError", "why", None)) == "ValueError: why"
    assert str(errors.RemoteError("ValueError", "why", "Traceback ...")) == "Traceback ..."


def test_what_they_carry() -> None:
    endpoint = errors.EndpointError("nonsense", "no scheme")
    assert (endpoint.endpoint, endpoint.reason) == ("nonsense", "no scheme")
    in_use = errors.AddressInUse("tcp://a:1")
    assert (in_use.endpoint, in_use.errno) == ("tcp://a:1", errno.EADDRINUSE)
    timeout = errors.TimeoutExpired(3, "calling f")
    assert (timeout.timeout, timeout.when) == (3, "calling f")
    remote = errors.RemoteError("ValueError", "why", "Traceback ...")
    assert (remote.name, remote.msg, remote.traceback) == ("ValueError", "why", "Traceback ...")


def pickled(error: errors.ZeroRPCError) -> object:
    """As multiprocessing and concurrent.futures send it."""
    return pickle.loads(pickle.dumps(error))


@pytest.mark.parametrize("again", [pickled, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", TREE)
@pytest.mark.parametrize(("ran", "method"), [(None, None), (False, "f"), (True, "f")])
def test_a_copy_is_the_same(
    kind: type[errors.ZeroRPCError],
    again: Callable[[errors.ZeroRPCError], errors.ZeroRPCError],
    ran: bool | None,
    method: str | None,
) -> None:
    error = copy.copy(TREE[kind][1])
    assert isinstance(error, errors.ZeroRPCError)
    if method is not None:
        error.ran, error.method = ran, method
    made = again(error)
    assert type(made) is kind
    assert (str(made), made.args) == (str(error), error.args)
    assert vars(made) == vars(error)
    assert (made.ran, made.method) == (error.ran, error.method)


def test_the_guide_shows_the_tree() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "guide.md").read_text(encoding="utf-8")
    tree = textwrap.dedent((errors.__doc__ or "").partition("::\n\n")[2].partition("\n\n")[0])
    assert tree.startswith("ZeroRPCError\n├── ")
    assert f"\n{tree}\n" in guide


def test_what_a_server_says_itself_is_a_remote_error() -> None:
    """So that programs that catch RemoteError, and look at its name, go on working."""
    assert set(errors.SERVER_ERRORS) == {
        "UnknownMethod", "PermissionDenied", "WrongArguments", "InvalidArguments", "ServerOverloaded",
        "ServerStopping", "WorkerDied",
    }  # fmt: skip
    for name, kind in errors.SERVER_ERRORS.items():
        assert kind.__name__ == name
        assert issubclass(kind, errors.RemoteError)


def test_an_unknown_method_is_printed_as_it_came() -> None:
    """Python would add "Did you mean: 'TypeError'?" to what is a NameError and has a name."""
    error = errors.UnknownMethod("NameError", "multiply", None)
    assert not isinstance(error, NameError)
    assert traceback.format_exception(error) == ["zerorpc.errors.UnknownMethod: NameError: multiply\n"]


def test_ran_is_not_known_unless_it_is_said() -> None:
    assert errors.ZeroRPCError().ran is None
    assert errors.LostRemote("lost").ran is None
    assert errors.RemoteError("ValueError", "why", None).ran is None
    assert errors.Closed("closed").ran is False  # nothing was sent, whatever it was
