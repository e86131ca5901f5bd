"""The exception tree: what catches what, and what each error says."""

from __future__ import annotations

import errno
import pickle

import pytest

import zerorpc
from zerorpc import errors

TREE = {
    errors.EndpointError: (ValueError, errors.EndpointError("x", "why")),
    errors.AddressInUse: (OSError, errors.AddressInUse("tcp://a:1")),
    errors.Closed: (RuntimeError, errors.Closed("closed")),
    errors.TimeoutExpired: (TimeoutError, errors.TimeoutExpired(1)),
    errors.LostRemote: (ConnectionError, errors.LostRemote("lost")),
    errors.RemoteError: (Exception, errors.RemoteError("ValueError", "why", "Traceback ...")),
    errors.SerializationError: (TypeError, errors.SerializationError("no")),
    errors.ProtocolError: (Exception, errors.ProtocolError("no")),
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
    assert str(errors.EndpointError("nonsense", "no scheme")).startswith("bad endpoint 'nonsense': no scheme; accepted")
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


@pytest.mark.parametrize("kind", TREE)
def test_they_travel_between_processes(kind: type[Exception]) -> None:
    """As multiprocessing and concurrent.futures send them."""
    error = TREE[kind][1]
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
