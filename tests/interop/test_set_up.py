"""What the set-up says before the tests with other programs: read from the tests, and in a line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop import set_up, venvs
from tests.interop.node.set_up import Node
from tests.interop.wsgi import servers

HAS = Node("node", ("npm",))


def write(path: Path, *needed: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"program = {call(each)}\n" for each in needed))


def call(needed: str) -> str:
    arguments = zip(('"{}"', '"{}"', 'instead="{}"'), needed.split(), strict=False)
    return f"needs({', '.join(form.format(name) for form, name in arguments)})"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A project whose tests need nothing, and have all of it."""
    monkeypatch.setattr(set_up, "ROOT", tmp_path)
    monkeypatch.setattr(set_up, "old_python", lambda: "python")
    monkeypatch.setattr(set_up, "telling_python", lambda: "python")
    monkeypatch.setattr(set_up, "choose", lambda: HAS)
    monkeypatch.setattr(set_up, "install", lambda chosen: None)
    monkeypatch.setattr(servers, "complaints_of_install", list)
    monkeypatch.delenv("CI", raising=False)
    (tmp_path / "tests").mkdir()
    return tmp_path / "tests"


def test_nothing_is_said_when_all_is_there(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(quick / "test_a.py", "sh dash")
    set_up.main()
    assert capsys.readouterr() == ("", "")


def test_a_line_for_each_program_says_what_is_missing_and_for_what(
    quick: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(set_up, "choose", lambda: "Node 20 or later is missing: apt-get install nodejs npm")
    write(quick / "test_a.py", "no-proxy proxy", "sh dash")
    write(quick / "faults" / "hosts.py", "no-proxy proxy", "no-ip iproute2")
    set_up.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.removesuffix("; the tests that use it are skipped") for line in lines] == [
        "no-ip is missing: apt-get install iproute2 (for tests/faults/hosts.py)",
        "no-proxy is missing: apt-get install proxy (for tests/faults/hosts.py, tests/test_a.py)",
        "Node 20 or later is missing: apt-get install nodejs npm (for tests/interop/node)",
    ]
    assert all(line.endswith(" are skipped") for line in lines)


def test_one_that_will_do_instead_is_not_missing(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(quick / "test_a.py", "sh dash no-shell", "no-shell dash sh")
    set_up.main()
    assert capsys.readouterr() == ("", "")
    write(quick / "test_a.py", "no-shell dash no-other-shell")
    set_up.main()
    assert capsys.readouterr().out.startswith("no-shell is missing: apt-get install dash (for tests/test_a.py)")


def test_ci_has_to_have_all(quick: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    set_up.main()
    write(quick / "test_a.py", "no-proxy proxy")
    with pytest.raises(SystemExit, match="CI has to run all tests"):
        set_up.main()
    assert "apt-get install proxy" in capsys.readouterr().out


def test_what_pypi_does_not_have_is_missing_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(venv: Path, packages: list[str]) -> None:
        raise RuntimeError("could not make it: pip said:\nNo matching distribution found for pyuwsgi")

    monkeypatch.setattr(venvs, "python_of", fail)
    (complaint,) = servers.complaints_of_install()
    assert complaint.startswith("gunicorn and uWSGI can't be installed: No matching distribution found for pyuwsgi")


def test_what_fails_ends_it_with_its_first_and_last_words(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("npm ci failed:\nmany\nwords\nENOENT")

    monkeypatch.setattr(set_up, "install", fail)
    with pytest.raises(SystemExit, match=r"^the tests can't be set up: npm ci failed: ENOENT$"):
        set_up.main()


def test_the_tests_of_this_project_name_what_they_need() -> None:
    tests = Path(set_up.__file__).parents[1]
    found = {each for path in tests.rglob("*.py") for each in set_up.NEEDS.findall(path.read_text(encoding="utf-8"))}
    assert found >= {
        ("haproxy", "haproxy", ""),
        ("ip", "iproute2", ""),
        ("chromium-headless-shell", "chromium-headless-shell", "chromium"),
    }


def test_no_other_text_is_taken_for_such_a_call(quick: Path) -> None:
    write(quick / "test_a.py", "{program} {package}", "ours/program package")
    assert list(set_up.missing_programs(quick)) == []
