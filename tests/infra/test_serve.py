"""The login of the Prefect server that `make serve` starts, and what that server goes by."""

import os
import signal
import sys
from pathlib import Path

import pytest

from infra import serve
from tests.ports import choose_ports
from tests.processes import program, started_with
from tests.waiting import until


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
    monkeypatch.delenv("PREFECT_SERVER_CORS_ALLOWED_ORIGINS", raising=False)


def test_a_login_is_made_once_shown_once_and_kept_from_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = serve.login(tmp_path / "home")
    assert made in capsys.readouterr().out
    assert serve.login(tmp_path / "home") == made
    assert capsys.readouterr().out == ""
    assert (tmp_path / "home/login").stat().st_mode & 0o777 == 0o600
    assert serve.login(tmp_path / "other") != made


def test_nobody_but_a_group_that_may_write_there_enters_the_home_of_a_server_whoever_made_it(tmp_path: Path) -> None:
    for home in (tmp_path / "new", tmp_path / "old"):
        (tmp_path / "old").mkdir(mode=0o755, exist_ok=True)
        serve.login(home)
        assert home.stat().st_mode & 0o7777 == 0o700
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2775)
    serve.login(tmp_path / "shared")
    assert (tmp_path / "shared").stat().st_mode & 0o7777 == 0o2770
    (tmp_path / "for all").mkdir()
    (tmp_path / "for all").chmod(0o1777)
    serve.login(tmp_path / "for all")
    assert (tmp_path / "for all").stat().st_mode & 0o7777 == 0o1777


def test_a_login_of_the_environment_is_kept_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "grace:secret")
    assert serve.login(tmp_path / "home") == "grace:secret"
    assert capsys.readouterr().out == ""
    assert not list((tmp_path / "home").iterdir())
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("content", "mode"), [("a:b", 0o644), ("", 0o600), ("no password", 0o600), (":b", 0o600)])
def test_a_login_that_others_can_read_or_that_is_none_is_one_line(tmp_path: Path, content: str, mode: int) -> None:
    (tmp_path / "login").write_text(content)
    (tmp_path / "login").chmod(mode)
    with pytest.raises(SystemExit, match=f"^error: {tmp_path}/login: .* delete it"):
        serve.login(tmp_path)


def test_a_home_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(SystemExit, match=f"^error: PREFECT_HOME {home}: cannot be written: "):
            serve.login(home)


def test_the_server_lets_in_who_has_the_login_from_its_own_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    values = serve.environment(4200, "a:b")
    assert values["PREFECT_API_AUTH_STRING"] == values["PREFECT_SERVER_API_AUTH_STRING"] == "a:b"
    assert values["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4200,http://localhost:4200"
    monkeypatch.setenv("PREFECT_SERVER_CORS_ALLOWED_ORIGINS", "https://prefect.example.com")
    assert serve.environment(4200, "a:b")["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "https://prefect.example.com"


@pytest.mark.machinery
@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_a_signal_ends_the_server_and_all_that_it_started(tmp_path: Path, number: int) -> None:
    (port,) = choose_ports(1)
    home, log = tmp_path / "prefect", tmp_path / "log"
    command = [sys.executable, "-m", "infra.serve", str(port), "", "no/such.toml"]
    with program(command, home, log) as started:
        until(lambda: "It is kept in" in log.read_text() and len(started_with(home)) > 1, what="the server starts")
        os.kill(started.pid, number)
        assert started.wait() == 128 + number
        assert started_with(home) == []
