"""Certificates for tests, made once in a run: two authorities, a server's, a client's, and some that are no good."""

from __future__ import annotations

import atexit
import datetime
import functools
import os
import shutil
import tempfile
from pathlib import Path

import trustme

import zerorpc

LOCAL = ("localhost", "127.0.0.1", "::1")
CLIENT = ("robot@cooler.example", "robot.cooler.example")


class Certificates:
    """Paths of PEM files: ``ca`` vouches for ``server`` (its key: ``server_key``) and for ``client`` (key included)."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="zerorpc-certificates-"))
        atexit.register(self._remove, os.getpid())
        self.authority, stranger = trustme.CA(), trustme.CA()
        self.ca = self._write("ca", self.authority.cert_pem)
        self.other_ca = self._write("other-ca", stranger.cert_pem)
        self.server, self.server_key = self.issue("server", *LOCAL)
        self.client = self._both("client", self.authority.issue_cert(*CLIENT, common_name="robot"))
        self.strange_client = self._both("strange-client", stranger.issue_cert(*CLIENT))
        self.strange_server = self._both("strange-server", stranger.issue_cert(*LOCAL))
        itself = trustme.CA()
        both = itself.private_key_pem.bytes() + itself.cert_pem.bytes()
        self.self_signed = self._write("self-signed", trustme.Blob(both))
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        self.expired = self._both("expired", self.authority.issue_cert(*LOCAL, not_after=past))
        self.expired_client = self._both("expired-client", self.authority.issue_cert(*CLIENT, not_after=past))
        self.misnamed = self._both("misnamed", self.authority.issue_cert("elsewhere.example"))

    def _remove(self, process: int) -> None:
        if os.getpid() == process:  # and not in a child that a test forks
            shutil.rmtree(self.folder, ignore_errors=True)

    def issue(self, file: str, *names: str) -> tuple[str, str]:
        """Another certificate for these names, and its key, in files of their own."""
        made = self.authority.issue_cert(*names)
        certificate = self.folder / f"{file}.pem"
        certificate.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
        return str(certificate), self._write(f"{file}.key", made.private_key_pem)

    def _both(self, file: str, made: trustme.LeafCert) -> str:
        return self._write(file, made.private_key_and_cert_chain_pem)

    def _write(self, file: str, what: trustme.Blob) -> str:
        path = self.folder / (file if "." in file else f"{file}.pem")
        what.write_to_path(path)
        return str(path)

    @property
    def serves(self) -> zerorpc.Tls:
        """For a server that asks nobody for a certificate."""
        return zerorpc.Tls(self.server, self.server_key)

    @property
    def asks(self) -> zerorpc.Tls:
        """For a server that serves only clients with a certificate."""
        return zerorpc.Tls(self.server, self.server_key, ca=self.ca)

    @property
    def trusts(self) -> zerorpc.Tls:
        """For a client without a certificate."""
        return zerorpc.Tls(ca=self.ca)

    @property
    def shows(self) -> zerorpc.Tls:
        """For a client with a certificate."""
        return zerorpc.Tls(self.client, ca=self.ca)


@functools.cache
def certificates() -> Certificates:
    return Certificates()
