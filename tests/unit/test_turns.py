"""Who waits for another shares what comes of it: nobody asks one after another."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from aiohttp import web
from invocation import CANARY
from servers import Server, ranged, serve

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.fetch import Fetcher, RetryPolicy
from harmony_vds.access.http import HttpClient
from harmony_vds.access.keys import KeyRing
from harmony_vds.access.loop import run
from harmony_vds.access.s3 import S3Client
from harmony_vds.access.trust import Trust
from harmony_vds.access.turns import Turns
from harmony_vds.access.ways import S3Reader
from harmony_vds.errors import ForbiddenError, StoreError, UpstreamError

BODY = bytes(range(256)) * 8
MANY = 30


async def gathered(*work: Awaitable[object]) -> list[object]:
    return await asyncio.gather(*work, return_exceptions=True)


def test_failure_that_holds_for_all_is_told_to_all_who_wait() -> None:
    turns, begun = Turns((UpstreamError,)), 0

    async def fail() -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0)
        raise UpstreamError("silent", retry_after=3)

    told = run(gathered(*(turns.first("place", fail) for _ in range(MANY))))
    assert begun == 1
    assert len({*map(id, told)}) == MANY
    assert {(type(own), str(own), own.retry_after) for own in told} == {  # type: ignore[attr-defined]
        (UpstreamError, "silent", 3)
    }


def test_failure_of_one_lets_the_next_go_first() -> None:
    turns, begun = Turns((UpstreamError,)), 0

    async def work() -> str:
        nonlocal begun
        begun += 1
        mine = begun
        await asyncio.sleep(0)
        if mine == 1:
            raise StoreError("its own range lies beyond the end")
        return "found"

    async def again() -> str:
        while (found := await turns.first("place", work)) is None:
            pass
        return found

    told = run(gathered(again(), *(turns.first("place", work) for _ in range(3)), again()))
    assert [str(own) for own in told] == [
        "its own range lies beyond the end",
        *["None"] * 3,
        "found",
    ]
    assert begun == 2


def test_whoever_gives_up_leaves_the_turn_to_the_next() -> None:
    async def scenario() -> tuple[str | None, str | None]:
        turns, never = Turns((UpstreamError,)), asyncio.Event()

        async def wait() -> str:
            await never.wait()
            return "never"

        async def find() -> str:
            return "found"

        leading = asyncio.create_task(turns.first("place", wait))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(turns.first("place", find))
        await asyncio.sleep(0)
        leading.cancel()
        return await waiting, await turns.first("place", find)

    assert run(scenario()) == (None, "found")


@contextmanager
def failing(
    fail_first: int, answer: Callable[[web.Request], web.StreamResponse]
) -> Iterator[Server]:
    """A server that breaks off its first requests without an answer."""
    asked = 0

    async def reply(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked <= fail_first:
            assert request.transport is not None
            request.transport.close()
        return answer(request)

    with serve(reply) as server:
        yield server


@contextmanager
def fetcher(url: str, attempts: int) -> Iterator[Fetcher]:
    trust = Trust.of_settings([f"{url}/", "s3://archive/"])
    http = HttpClient(trust, Credentials.of_token(CANARY).also_for(url))
    policy = RetryPolicy(attempts=attempts, first_wait=0.0)
    try:
        yield Fetcher(trust, http, S3Reader(http, S3Client(url)), policy)
    finally:
        run(http.close())


@pytest.mark.parametrize("place", ["{0}/archive/file", "s3://archive/file"])
def test_chunks_that_wait_for_a_place_that_fails_fail_with_it_once(place: str) -> None:
    right = lambda request: ranged(BODY, request)  # noqa: E731
    with failing(1, right) as server, fetcher(server.url, attempts=1) as own:
        url = place.format(server.url)
        told = run(gathered(*(own.fetch_range(url, n, 9) for n in range(MANY))))
        assert {type(failure) for failure in told} == {UpstreamError}
        assert len(server.asked) == 1
        assert run(own.fetch_range(url, 5, 9)).body == BODY[5:14]


def test_chunks_that_wait_for_a_place_that_recovers_all_come() -> None:
    right = lambda request: ranged(BODY, request)  # noqa: E731
    with failing(2, right) as server, fetcher(server.url, attempts=6) as own:
        url = f"{server.url}/file"
        told = run(gathered(*(own.fetch_range(url, n, 9) for n in range(MANY))))
    assert [own.body for own in told] == [BODY[n : n + 9] for n in range(MANY)]  # type: ignore[attr-defined]


def test_range_beyond_the_end_does_not_fail_those_who_wait_for_it() -> None:
    def answer(request: web.Request) -> web.StreamResponse:
        is_beyond = request.headers["Range"].startswith("bytes=9999")
        return web.Response(status=416) if is_beyond else ranged(BODY, request)

    with failing(0, answer) as server, fetcher(server.url, attempts=1) as own:
        url = f"{server.url}/file"
        told = run(gathered(*(own.fetch_range(url, start, 9) for start in (9999, 0, 1, 2))))
    assert isinstance(told[0], StoreError)
    assert [own.body for own in told[1:]] == [BODY[n : n + 9] for n in range(3)]  # type: ignore[attr-defined]


def keys(number: int) -> web.Response:
    return web.json_response({"accessKeyId": "ASIACANARY", "secretAccessKey": f"secret-{number}",
                              "sessionToken": f"session-{number}",
                              "expiration": "2030-01-01T01:00:00Z"})  # fmt: skip


def test_endpoint_in_trouble_is_asked_once_for_all_who_have_good_keys() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    with failing(0, lambda _: keys(1)) as good, fetcher(good.url, 1) as own:
        ring = KeyRing(own.http, lambda: moment)
        first = run(ring.keys(f"{good.url}/keys"))
    moment = moment.replace(minute=57)  # three minutes before they end
    with failing(99, lambda _: keys(2)) as bad, fetcher(bad.url, 1) as own:
        ring = KeyRing(own.http, lambda: moment)
        endpoint = f"{bad.url}/keys"
        ring._held[endpoint] = first
        assert set(run(gathered(*(ring.keys(endpoint) for _ in range(MANY))))) == {first}
        assert run(ring.keys(endpoint)) is first
        assert len(bad.asked) == 1
        moment = moment.replace(minute=58)
        assert run(ring.keys(endpoint)) is first
        assert len(bad.asked) == 2


def test_endpoint_that_refuses_is_asked_once_for_all_who_wait() -> None:
    with failing(0, lambda _: web.Response(status=403)) as server, fetcher(server.url, 1) as own:
        told = run(gathered(*(own.s3.ring.keys(f"{server.url}/keys") for _ in range(MANY))))
    assert {type(failure) for failure in told} == {ForbiddenError}
    assert len(server.asked) == 1
