"""`nox` runs the tests on every CPython that we support and that is found here; `make test` is one version, in full."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """All tests but those with the old zerorpc, which are about the wire and not about the version."""
    session.install("--only-binary", ":all:", "--editable", ".[dev]")
    session.run("pytest", "--ignore=tests/interop", *session.posargs)
