"""What happens to a test whose program is missing: skipped for a person, failed for CI, with the package's name."""

from __future__ import annotations

import pytest

from tests.interop.requirements import needs


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_a_program(ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    program, package = "no-such-program", "some-package"
    with pytest.raises(outcome, match="no-such-program is missing: apt-get install some-package"):
        needs(program, package)


def test_with_it() -> None:
    assert needs("sh", "dash").endswith("/sh")
