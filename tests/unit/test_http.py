"""Requests over http against real servers: redirects, tokens, login pages, expired signatures."""

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp import web
from invocation import CANARY
from servers import Server, failing_server, faulty_server, listener, ranged, serve

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.http import HttpClient
from harmony_vds.access.loop import network_loop, run
from harmony_vds.access.resolver import PublicResolver
from harmony_vds.access.trust import Address, Trust
from harmony_vds.errors import (
    ForbiddenError,
    MissingSourceError,
    StoreError,
    UntrustedError,
    UpstreamError,
)

BODY = bytes(range(256)) * 8


@pytest.fixture
def clients() -> Iterator[list[HttpClient]]:
    made: list[HttpClient] = []
    yield made
    for client in made:
        run(client.close())


def client_for(clients: list[HttpClient], *prefixes: str, token_for: str = "") -> HttpClient:
    credentials = Credentials.of_token(CANARY)
    if token_for:
        credentials = credentials.also_for(token_for)
    clients.append(HttpClient(Trust.of_settings(prefixes), credentials, stall_timeout=2.0))
    return clients[-1]


def fetch(client: HttpClient, url: str, start: int = 10, length: int = 100) -> bytes:
    return run(client.fetch_range(url, start, length, client.trust)).body


def tokens_seen(server: Server) -> int:
    return sum(CANARY in str(asked.headers) + asked.path for asked in server.asked)


def redirecting(target: str, status: int = 307) -> web.Response:
    return web.Response(status=status, headers={"Location": target})


def test_range_is_exactly_the_bytes_asked_for(clients: list[HttpClient]) -> None:
    with faulty_server(BODY) as server:
        client = client_for(clients, server.url)
        assert fetch(client, f"{server.url}/a", 10, 100) == BODY[10:110]
        assert fetch(client, f"{server.url}/a", len(BODY) - 1, 1) == BODY[-1:]
    assert [asked.headers["Range"] for asked in server.asked] == ["bytes=10-109", "bytes=2047-2047"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("whole", StoreError),
        ("elsewhere", StoreError),
        ("html-200", ForbiddenError),
        ("html-206", ForbiddenError),
        ("short", UpstreamError),
        ("truncated", UpstreamError),
        ("reset", UpstreamError),
        ("stall", UpstreamError),
        ("404", MissingSourceError),
        ("401", ForbiddenError),
        ("403", ForbiddenError),
        ("400", StoreError),
        ("410", StoreError),
        ("416", StoreError),
        ("425", StoreError),
        ("408", UpstreamError),
        ("429", UpstreamError),
        ("500", UpstreamError),
        ("503", UpstreamError),
        ("599", UpstreamError),
    ],
)
def test_wrong_answer_is_an_error_of_its_kind(
    fault: str, error: type[Exception], clients: list[HttpClient]
) -> None:
    with faulty_server(BODY, fault) as server:
        client = client_for(clients, server.url)
        with pytest.raises(error) as caught:
            fetch(client, f"{server.url}/a?X-Amz-Signature=secret")
        assert type(caught.value) is error
        assert "X-Amz-Signature" not in str(caught.value)


@pytest.mark.parametrize(("status", "error"), [(503, UpstreamError), (403, ForbiddenError)])
def test_error_text_longer_than_the_range_does_not_hide_the_error(
    status: int, error: type[Exception], clients: list[HttpClient]
) -> None:
    with failing_server(status, "x" * 100_000) as server, pytest.raises(error):
        fetch(client_for(clients, server.url), f"{server.url}/a", 0, 4)


def test_file_shorter_than_its_manifest_says_is_the_stores_fault(clients: list[HttpClient]) -> None:
    with faulty_server(BODY) as server:
        client = client_for(clients, server.url)
        with pytest.raises(StoreError, match="shorter than its manifest"):
            fetch(client, f"{server.url}/a", len(BODY) - 5, 10)


def test_refused_agreement_tells_where_to_accept_it(clients: list[HttpClient]) -> None:
    place = "https://urs.earthdata.nasa.gov/approve_app?client_id=abc"
    refusal = {"error": "invalid_token", "status_code": 403,
               "error_description": "EULA Acceptance Failure", "resolution_url": place}  # fmt: skip

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(refusal, status=403)

    with serve(answer) as server, pytest.raises(ForbiddenError) as caught:
        fetch(client_for(clients, server.url), f"{server.url}/a")
    assert place in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_to_foreign_host_is_refused_and_never_asked(
    status: int, clients: list[HttpClient]
) -> None:
    with faulty_server(BODY) as foreign:

        async def answer(_: web.Request) -> web.StreamResponse:
            return redirecting(f"{foreign.url}/a", status)

        with serve(answer) as server:
            client = client_for(clients, server.url, token_for=server.url)
            with pytest.raises(UntrustedError):
                fetch(client, f"{server.url}/a")
        assert tokens_seen(server) == 1
        assert foreign.asked == []


def test_redirect_that_another_was_allowed_is_judged_anew(clients: list[HttpClient]) -> None:
    with faulty_server(BODY) as other:

        async def answer(_: web.Request) -> web.StreamResponse:
            return redirecting(f"{other.url}/a")

        with serve(answer) as server:
            client = client_for(clients, server.url, other.url)
            assert fetch(client, f"{server.url}/a") == BODY[10:110]
            narrow = Trust.of_settings([server.url])
            with pytest.raises(UntrustedError):
                run(client.fetch_range(f"{server.url}/a", 10, 100, narrow))
            assert len(other.asked) == 1
            assert fetch(client, f"{server.url}/a") == BODY[10:110]


def test_token_does_not_follow_a_redirect_to_a_trusted_host(clients: list[HttpClient]) -> None:
    with faulty_server(BODY) as other:

        async def answer(_: web.Request) -> web.StreamResponse:
            return redirecting(f"{other.url}/signed?X-Amz-Signature=1")

        with serve(answer) as server:
            client = client_for(clients, server.url, other.url, token_for=server.url)
            assert fetch(client, f"{server.url}/a") == BODY[10:110]
    assert tokens_seen(server) == 1
    assert len(other.asked) == 1
    assert tokens_seen(other) == 0


@pytest.mark.parametrize("target", ["file:///etc/hostname", "s3://bucket/key", "", "//"])
def test_redirect_out_of_the_web_is_refused(target: str, clients: list[HttpClient]) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return redirecting(target)

    with serve(answer) as server:
        client = client_for(clients, server.url, "file:///etc/", "s3://bucket/")
        with pytest.raises(StoreError):
            fetch(client, f"{server.url}/a")


def test_redirects_without_end_are_given_up(clients: list[HttpClient]) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return redirecting(f"{request.path}x")

    with serve(answer) as server, pytest.raises(StoreError, match="again and again"):
        fetch(client_for(clients, server.url), f"{server.url}/a")
    assert len(server.asked) == 4


class Archive:
    """Answers ``/file`` with a redirect to ``/signed/<n>``, of which only the newest is valid."""

    def __init__(self, expired_status: int = 403) -> None:
        self.issued = 0
        self.expired_status = expired_status
        self.refuses_all = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/file":
            self.issued += 1
            return redirecting(f"/signed/{self.issued}?Signature=x%2Fy%3D")
        if self.refuses_all or request.path != f"/signed/{self.issued}":
            return web.Response(status=self.expired_status, text="Request has expired")
        return ranged(BODY, request)


async def forty(client: HttpClient, url: str) -> list[bytes]:
    """Bytes of forty ranges, one byte apart, all asked for at once."""
    work = (client.fetch_range(url, n, 9, client.trust) for n in range(40))
    return [received.body for received in await asyncio.gather(*work)]


def test_many_chunks_of_one_file_resolve_its_redirect_once(clients: list[HttpClient]) -> None:
    archive = Archive()
    with serve(archive.answer) as server:
        client = client_for(clients, server.url)
        assert run(forty(client, f"{server.url}/file")) == [BODY[n : n + 9] for n in range(40)]
    assert server.paths().count("/file") == 1
    assert server.asked[1].query == {"Signature": ["x/y="]}


@pytest.mark.parametrize("status", [400, 401, 403])
def test_expired_signature_is_renewed_once_for_all_chunks_in_flight(
    status: int, clients: list[HttpClient]
) -> None:
    archive = Archive(status)
    with serve(archive.answer) as server:
        client = client_for(clients, server.url)
        fetch(client, f"{server.url}/file")
        archive.issued += 1  # what was signed before is now expired
        server.forget()
        assert run(forty(client, f"{server.url}/file")) == [BODY[n : n + 9] for n in range(40)]
    assert server.paths().count("/file") == 1


def test_signature_refused_again_after_renewal_is_forbidden(clients: list[HttpClient]) -> None:
    archive = Archive()
    with serve(archive.answer) as server:
        client = client_for(clients, server.url)
        fetch(client, f"{server.url}/file")
        archive.refuses_all = True
        server.forget()
        with pytest.raises(ForbiddenError):
            fetch(client, f"{server.url}/file")
    assert server.paths() == ["/signed/1", "/file", "/signed/2"]


@pytest.mark.parametrize("name", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
def test_name_that_leads_to_a_private_address_is_never_connected_to(
    name: str, clients: list[HttpClient]
) -> None:
    with listener() as (port, peers):
        client = client_for(clients)
        url = f"https://{name}:{port}/store/repo"
        trust = client.trust.recording([f"https://{name}:{port}/store"])
        trust.check(url)  # the name alone does not tell
        with pytest.raises(UntrustedError):
            run(client.fetch_range(url, 0, 1, trust))
        with pytest.raises(UntrustedError, match="private address"):
            run(client.refuse_private(Address.of(url)))
    assert peers == []


def test_resolver_refuses_localhost_by_what_it_means() -> None:
    async def look_up() -> None:
        await PublicResolver().resolve("localhost", 443)

    with pytest.raises(UntrustedError, match="private address"):
        run(look_up())


def test_operators_prefix_opens_its_host_for_no_other_port_or_path(
    clients: list[HttpClient],
) -> None:
    with faulty_server(BODY) as server, listener() as (port, peers):
        own = server.url.replace("127.0.0.1", "0x7f000001")
        client = client_for(clients, f"{own}/data/")
        assert fetch(client, f"{own}/data/a") == BODY[10:110]
        other = f"https://0x7f000001:{port}/secret"
        trust = client.trust.recording([other])
        with pytest.raises(UntrustedError, match="private address"):
            run(client.fetch_range(other, 0, 1, trust))
    assert peers == []


def test_whole_document_beyond_its_limit_is_refused(clients: list[HttpClient]) -> None:
    with faulty_server(BODY) as server:
        client = client_for(clients, server.url)
        whole = run(client.fetch_whole(f"{server.url}/a", len(BODY), client.trust))
        assert whole.body == BODY
        with pytest.raises(StoreError, match="more than"):
            run(client.fetch_whole(f"{server.url}/a", len(BODY) - 1, client.trust))


def test_closing_ends_what_still_waits_for_bytes() -> None:
    with faulty_server(BODY, "stall") as server:
        client = HttpClient(Trust.of_settings([server.url]), Credentials.of_token(None))

        async def close_meanwhile() -> None:
            work = client.fetch_range(f"{server.url}/a", 0, 1000, client.trust)
            fetching = asyncio.ensure_future(work)
            while not client._bodies:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await client.close()
            async with asyncio.timeout(60):
                await fetching

        with pytest.raises(UpstreamError, match="broke off"):
            run(close_meanwhile())


def test_closing_tells_those_who_wait_for_a_connection() -> None:
    """They are given up, and not cancelled: nobody asked for that."""
    asked = asyncio.Event()

    async def answer(_: web.Request) -> web.StreamResponse:
        loop.call_soon_threadsafe(asked.set)
        await asyncio.sleep(300)
        return web.Response()

    async def close_meanwhile(url: str) -> list[object]:
        client = HttpClient(Trust.of_settings([url]), Credentials.of_token(None), 1)
        work = (client.fetch_range(f"{url}/{name}", 0, 10, client.trust) for name in "abc")
        fetching = [asyncio.create_task(own) for own in work]
        await asked.wait()
        await client.close()
        async with asyncio.timeout(60):
            return list(await asyncio.gather(*fetching, return_exceptions=True))

    loop = network_loop()
    with serve(answer) as server:
        ended = run(close_meanwhile(server.url))
    assert [type(own) for own in ended] == [UpstreamError, StoreError, StoreError]


def test_proxy_settings_of_the_environment_are_not_obeyed(
    clients: list[HttpClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_server(BODY) as server, listener() as (port, peers):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        assert fetch(client_for(clients, server.url), f"{server.url}/a") == BODY[10:110]
    assert peers == []
