"""Earthdata Login for people: a token from the environment or a login from .netrc."""

import base64
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from aiohttp import web
from servers import Server, failing_server, serve

from harmony_vds.access.login import token_of_user
from harmony_vds.errors import ForbiddenError, SettingsError, UpstreamError
from harmony_vds.telemetry import redact

PASSWORD = "password-of-nobody-31f"
TOKEN = "issued-token-52ab91"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("EARTHDATA_TOKEN", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write_netrc(home: Path, host: str = "127.0.0.1") -> None:
    path = home / ".netrc"
    path.write_text(f"machine {host} login somebody password {PASSWORD}\n")
    path.chmod(0o600)


def login_server() -> AbstractContextManager[Server]:
    async def answer(request: web.Request) -> web.StreamResponse:
        expected = base64.b64encode(f"somebody:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {expected}":
            return web.json_response({"error": "invalid_credentials"}, status=401)
        if (request.method, request.path) != ("POST", "/api/users/find_or_create_token"):
            return web.Response(status=404)
        return web.json_response(
            {"access_token": TOKEN, "token_type": "Bearer", "expiration_date": "01/20/2027"}
        )

    return serve(answer)


def test_login_of_netrc_is_exchanged_for_a_token_which_is_masked_from_then_on(home: Path) -> None:
    write_netrc(home)
    with login_server() as server:
        assert token_of_user(f"{server.url}/") == TOKEN
    assert len(server.asked) == 1
    assert PASSWORD not in redact(f"login with {PASSWORD}")


def test_token_of_the_environment_comes_first_and_needs_no_login(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_netrc(home)
    monkeypatch.setenv("EARTHDATA_TOKEN", "own-token")
    with login_server() as server:
        assert token_of_user(server.url) == "own-token"
    assert server.asked == []


def test_without_any_login_there_is_no_token_and_no_question(home: Path) -> None:
    with login_server() as server:
        assert token_of_user(server.url) is None
        write_netrc(home, "other.example.com")
        assert token_of_user(server.url) is None
    assert server.asked == []


def test_refused_login_names_the_user_and_not_the_password(home: Path) -> None:
    write_netrc(home)
    with failing_server(401, "no") as server, pytest.raises(ForbiddenError) as caught:
        token_of_user(server.url)
    assert "somebody" in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_password_does_not_follow_a_redirect(home: Path) -> None:
    write_netrc(home)
    with login_server() as other:

        async def answer(request: web.Request) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": f"{other.url}{request.path}"})

        with serve(answer) as server, pytest.raises(UpstreamError):
            token_of_user(server.url)
    assert other.asked == []


@pytest.mark.parametrize(("status", "body"), [(500, ""), (200, "<html>"), (200, "{}"), (200, "[]")])
def test_login_in_trouble_is_an_upstream_error(status: int, body: str, home: Path) -> None:
    write_netrc(home)
    with failing_server(status, body) as server, pytest.raises(UpstreamError):
        token_of_user(server.url)


def test_unreadable_netrc_is_told_without_quoting_it(home: Path) -> None:
    path = home / ".netrc"
    path.write_text(f"machine 127.0.0.1 login somebody passwort {PASSWORD}\n")
    path.chmod(0o600)
    with pytest.raises(SettingsError, match=r"\.netrc") as caught:
        token_of_user("http://127.0.0.1:1")
    assert PASSWORD not in str(caught.value)
