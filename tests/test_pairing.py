"""Codes for pairing, and how long and how often one is good."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from zerorpc.keys import KeyPair, encode_z85
from zerorpc.pairing import Pairing, keys_of_code, new_code

OURS, ALICE = KeyPair.generate().public, KeyPair.generate().public


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def new_pairing(clock: Clock | None = None) -> tuple[Pairing, list[tuple[str, bytes]]]:
    admitted: list[tuple[str, bytes]] = []

    def admit(name: str, key: bytes) -> str:
        admitted.append((name, key))
        return name

    return Pairing(OURS, admit, 600, clock or Clock()), admitted


def test_a_code_gives_both_sides_the_same_keys() -> None:
    code = new_code()
    assert len(code) == 14
    assert code != new_code()
    server, client = keys_of_code(code)
    assert server != client
    assert keys_of_code(code) == (server, client)
    assert keys_of_code(f" {code.upper().replace('-', '')} ".replace("0", "o").replace("1", "I")) == (server, client)
    assert keys_of_code(new_code())[0] != server


def test_the_keys_of_a_code_stay_the_same() -> None:
    """An older client pairs with a newer server (docs/protocol.md)."""
    server, client = keys_of_code("k7qf-9xm2-wzt4")
    told = (Path(__file__).parents[1] / "docs" / "protocol.md").read_text()
    assert f"`{encode_z85(server.public)}` and `{encode_z85(client.public)}`" in " ".join(told.split())
    assert encode_z85(server.public) == "v8Ev[)KzPh/=lr}vf+}gwZh7d.]Z$F{0L6>IWiv3"
    assert encode_z85(client.public) == ":{e?lkR!4H-6=D7l7F+w7cJO(Yw/d)Ex(j>*)MX>"


@pytest.mark.parametrize("code", ["", "k7qf-9xm2-wzt", "k7qf-9xm2-wzt44", "k7qf-9xm2-wzu4", "k7qf_9xm2_wzt4"])
def test_what_is_no_code(code: str) -> None:
    with pytest.raises(ValueError, match="a pairing code has 12 letters and digits"):
        keys_of_code(code)


def test_it_is_good_once() -> None:
    pairing, admitted = new_pairing()
    assert pairing.is_open
    assert pairing.pair("alice", ALICE) == (OURS, "alice")
    assert not pairing.is_open
    with pytest.raises(PermissionError, match="used already"):
        pairing.pair("eve", ALICE)
    assert admitted == [("alice", ALICE)]


def test_it_is_good_for_a_while() -> None:
    clock = Clock()
    pairing, admitted = new_pairing(clock)
    clock.now = 599.9
    assert pairing.is_open
    clock.now = 600.0
    assert not pairing.is_open
    with pytest.raises(PermissionError, match="too old"):
        pairing.pair("eve", ALICE)
    assert admitted == []


@pytest.mark.parametrize("given", [("alice", b"short"), ("alice", "x" * 32), (b"alice", ALICE), (None, None)])
def test_what_makes_no_sense_does_not_use_it_up(given: tuple[object, object]) -> None:
    pairing, _ = new_pairing()
    with pytest.raises(ValueError, match="a name and a key are needed"):
        pairing.pair(*given)
    assert pairing.is_open


def test_who_cannot_be_admitted_may_try_again() -> None:
    admitting: list[bool] = []

    def admit(name: str, key: bytes) -> str:
        admitting.append(pairing.is_open)  # else its connection would be ended meanwhile
        if name == "a b":
            raise ValueError("no name")
        return name

    pairing = Pairing(OURS, admit, 600, Clock())
    with pytest.raises(ValueError, match="no name"):
        pairing.pair("a b", ALICE)
    assert pairing.pair("alice", ALICE) == (OURS, "alice")
    assert admitting == [True, True]
    assert not pairing.is_open


def test_it_can_be_ended() -> None:
    pairing, admitted = new_pairing()
    pairing.end()
    assert not pairing.is_open
    with pytest.raises(PermissionError, match="used already"):
        pairing.pair("eve", ALICE)
    assert admitted == []


def test_of_many_at_once_one_pairs() -> None:
    pairing, admitted = new_pairing()
    ready = threading.Barrier(8)
    refused = []

    def pair(name: str) -> None:
        ready.wait()
        try:
            pairing.pair(name, ALICE)
        except PermissionError as error:
            refused.append(error)

    threads = [threading.Thread(target=pair, args=(f"client{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(admitted), len(refused)) == (1, 7)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it is about processes that were forked")
def test_of_several_processes_one_pairs() -> None:
    pairing, _ = new_pairing()
    pairs = []
    for _ in range(2):
        child = os.fork()
        if not child:
            try:
                pairing.pair("alice", ALICE)
            except PermissionError:
                os._exit(1)
            except BaseException:
                os._exit(2)
            os._exit(0)
        pairs.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    assert pairs == [0, 1]
    with pytest.raises(PermissionError):
        pairing.pair("alice", ALICE)


def test_the_code_is_not_shown() -> None:
    pairing, _ = new_pairing()
    assert repr(pairing) == f"<Pairing for {pairing.client_key} open>"
    pairing.pair("alice", ALICE)
    assert repr(pairing) == f"<Pairing for {pairing.client_key} over>"


def test_its_descriptors_are_closed() -> None:
    pairing, _ = new_pairing()
    turn = pairing._turn
    os.fstat(turn)
    del pairing
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(turn)
