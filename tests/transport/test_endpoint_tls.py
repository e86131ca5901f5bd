"""TLS at one endpoint: what files and contexts it takes, and files that are renewed."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.certificates import certificates
from zerorpc.transport.endpoint_tls import EndpointTls
from zerorpc.transport.tls import TlsConnection


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Site:
    """A server's files in a folder, and what is made of them by a clock that a test moves."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        self._changes = itertools.count(1)
        self.renew(certificates().server, certificates().server_key)
        self.tls = EndpointTls(zerorpc.Tls(self.certificate, self.key), server_side=True, clock=self.clock)

    def renew(self, certificate: str | None, key: str | None) -> None:
        """Replace files, as whoever renews them does."""
        for source, target in ((certificate, self.certificate), (key, self.key)):
            if source is not None:
                new = target.with_suffix(".new")
                shutil.copy(source, new)
                os.utime(new, ns=(0, next(self._changes)))
                new.replace(target)

    def serves(self) -> tuple[tuple[str, str], ...]:
        """The names in the certificate that a new connection is shown."""
        client = EndpointTls(zerorpc.Tls(ca=certificates().ca, server_name="any.example"), server_side=False)
        client._context.check_hostname = False
        return names(self.tls.new_connection(), client.new_connection())

    def wait(self) -> None:
        self.clock.now += 1.1


def names(server: TlsConnection, client: TlsConnection) -> tuple[tuple[str, str], ...]:
    nothing: Any = None
    client.open()
    for _ in range(2):
        server.receive(client.take_output(), nothing, nothing)
        client.receive(server.take_output(), nothing, nothing)
    assert client.certificate is not None
    return client.certificate.names


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture(scope="module")
def renewed() -> tuple[str, str]:
    return certificates().issue("renewed", "renewed.example")


BEFORE = ("DNS", "localhost")
AFTER = (("DNS", "renewed.example"),)


def test_a_new_connection_uses_renewed_files(site: Site, renewed: tuple[str, str]) -> None:
    open_before = site.tls.new_connection()
    assert BEFORE in site.serves()
    site.renew(*renewed)
    assert BEFORE in site.serves()  # within the second
    site.wait()
    assert site.serves() == AFTER
    assert site.serves() == AFTER
    assert not open_before.ready


def test_files_that_are_written_one_after_the_other_count_when_both_are_there(
    site: Site, renewed: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = renewed
    site.renew(certificate, None)
    site.wait()
    assert BEFORE in site.serves()
    site.renew(None, key)
    site.wait()
    assert site.serves() == AFTER
    assert caplog.records == []


@pytest.mark.parametrize("how", ["mismatch", "nonsense", "gone"])
def test_a_broken_renewal_keeps_what_was_and_is_logged_once(
    site: Site, renewed: tuple[str, str], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    if how == "mismatch":
        site.renew(renewed[0], None)
    elif how == "nonsense":
        site.certificate.write_text("nothing to see here")
    else:
        site.certificate.unlink()
    for _ in range(5):
        site.wait()
        assert BEFORE in site.serves()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "renewed files for TLS can't be used, and those before stay in use" in record.message
    site.renew(*renewed)
    site.wait()
    assert site.serves() == AFTER


def test_files_that_are_changed_back_are_in_use(site: Site) -> None:
    kept = site.tls._context
    site.renew(certificates().server, None)
    site.wait()
    assert BEFORE in site.serves()
    assert site.tls._context is not kept


def test_a_context_is_used_as_it_is() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls = EndpointTls(context, server_side=True)
    assert tls._context is context
    tls.new_connection()
    assert repr(tls) == f"<EndpointTls server {context!r}>"


def test_a_context_for_the_other_side_is_refused() -> None:
    with pytest.raises(zerorpc.CertificateError, match="for a server, and this one is for a client"):
        EndpointTls(ssl.create_default_context(), server_side=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with pytest.raises(zerorpc.CertificateError, match="for a client, and this one is for a server"):
        EndpointTls(context, server_side=False)


def test_it_shows_whom_it_is_for() -> None:
    tls = EndpointTls(zerorpc.Tls(), server_side=False, host="cooler.example")
    assert repr(tls).startswith("<EndpointTls cooler.example Tls(certificate=None")


@pytest.mark.parametrize(
    ("host", "name"),
    [("cooler.example", "cooler.example"), ("*", "127.0.0.1"), ("::", "::1"), ("fe80::1%eth0", "fe80::1")],
)
def test_whom_the_certificate_has_to_name(host: str, name: str) -> None:
    assert EndpointTls(zerorpc.Tls(), server_side=False, host=host)._server_name == name
    given = zerorpc.Tls(server_name="other.example")
    assert EndpointTls(given, server_side=False, host=host)._server_name == "other.example"


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    made = certificates()
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(_encrypted(Path(made.server_key).read_bytes()))
    for tls, why in (
        (zerorpc.Tls("/nowhere.pem"), "the certificate /nowhere.pem can't be read: No such file or directory"),
        (zerorpc.Tls(made.server, "/nowhere.key"), "the key /nowhere.key can't be read: No such file or directory"),
        (zerorpc.Tls(made.server, made.client), "the key is not that of the certificate"),
        (zerorpc.Tls(made.server), "a file is no PEM, or the certificate or the key is missing"),
        (zerorpc.Tls(made.server, encrypted), "the key is encrypted"),
        (zerorpc.Tls(made.client, ca="/nowhere"), "the ca /nowhere can't be read: No such file or directory"),
        (zerorpc.Tls(made.client, ca=made.server_key), "can't be used as a list of authorities"),
        (zerorpc.Tls(), "a server needs a certificate"),
    ):
        with pytest.raises(zerorpc.CertificateError, match=why):
            EndpointTls(tls, server_side=True)


def _encrypted(key: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization as s

    loaded: Any = s.load_pem_private_key(key, None)
    return bytes(loaded.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"a word")))


def test_a_folder_of_authorities(tmp_path: Path) -> None:
    tls = EndpointTls(zerorpc.Tls(ca=tmp_path), server_side=False, host="x")
    assert tls.new_connection()


def test_what_no_tls_can_be_made_of() -> None:
    with pytest.raises(ValueError, match='client_certificates has to be "required" or "accepted", not \'yes\''):
        zerorpc.Tls(client_certificates="yes")
    with pytest.raises(ValueError, match="a key needs its certificate"):
        zerorpc.Tls(key="server.key")
    with pytest.raises(TypeError, match="server_name has to be a text, not a bytes"):
        zerorpc.Tls(server_name=b"x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="ca has to be a path, not a int"):
        zerorpc.Tls(ca=1)  # type: ignore[arg-type]
    assert zerorpc.Tls(Path("a"), Path("b")) == zerorpc.Tls("a", "b")
