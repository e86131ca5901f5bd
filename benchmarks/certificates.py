"""The certificate with which peers serve TLS: made once, by trustme, and kept among the venvs. All use the same."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / ".venvs" / "certificates"
AUTHORITY, CERTIFICATE, KEY = FOLDER / "authority.pem", FOLDER / "server.pem", FOLDER / "server.key"


def make() -> None:
    """Have the files, for 127.0.0.1 and localhost; with a key on the curve P-256, as trustme's are."""
    if KEY.exists():
        return
    import trustme  # only the driver has it

    FOLDER.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(AUTHORITY)
    CERTIFICATE.write_bytes(b"".join(part.bytes() for part in server.cert_chain_pems))
    server.private_key_pem.write_to_path(KEY)  # last: with it all is there
