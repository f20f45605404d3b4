"""Second requests: when silence brings one, which answer serves, and who is never asked twice."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from faults import Mischief, faulty_archive
from invocation import CANARY
from servers import Server, file_server, ranged, serve

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.fetch import Fetcher, RetryPolicy
from harmony_vds.access.gateway import Access
from harmony_vds.access.hedge import Hedges, Pulse, document, nothing_yet, whole_body
from harmony_vds.access.http import HttpClient
from harmony_vds.access.loop import run
from harmony_vds.access.s3 import S3Client
from harmony_vds.access.trust import Trust
from harmony_vds.access.ways import S3Reader
from harmony_vds.errors import ForbiddenError, StoreError, UntrustedError, UpstreamError, VdsError
from harmony_vds.model.store import ManifestFormat, StoreLocation
from harmony_vds.settings import Settings
from harmony_vds.stores.repositories import open_session

BODY = bytes(range(256)) * 8
TICK = 0.01
ONCE = RetryPolicy(attempts=1)


@contextmanager
def hedging(
    url: str, *, stall: float = 60.0, policy: RetryPolicy = ONCE, token: str | None = None
) -> Iterator[Fetcher]:
    """A fetcher that never cuts a connection within a test, unless told to."""
    trust, hedges = Trust.of_settings([f"{url}/", "s3://archive/"]), Hedges(tick=TICK)
    credentials = Credentials.of_token(token).also_for(url)
    http = HttpClient(trust, credentials, stall_timeout=stall, hedges=hedges)
    s3 = S3Reader(http, S3Client(url, stall_timeout=stall, hedges=hedges))
    try:
        yield Fetcher(trust, http, s3, policy, traffic=hedges.traffic)
    finally:
        run(http.close())


@dataclass
class Scripted:
    """A server whose first answers to each path are scripted; all others are right."""

    script: dict[str, list[Callable[[web.Request], Awaitable[web.StreamResponse]]]]
    asked: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    """Paths of requests that were silent until who asked went away."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        left = self.script.get(request.path, [])
        return await left.pop(0)(request) if left else ranged(BODY, request)

    async def silence(self, request: web.Request) -> web.StreamResponse:
        """No answer at all."""
        await self._until_gone(request)
        return web.Response()

    async def half(self, request: web.Request) -> web.StreamResponse:
        """Half of the body, and then silence."""
        right = ranged(BODY, request)
        response = web.StreamResponse(status=206, headers=right.headers)
        sent = bytes(right.body)  # type: ignore[arg-type]
        response.content_length = len(sent)
        await response.prepare(request)
        await response.write(sent[: len(sent) // 2])
        await self._until_gone(request)
        return response

    async def _until_gone(self, request: web.Request) -> None:
        transport = request.transport
        assert transport is not None
        await until(transport.is_closing)
        self.gone.append(request.path)


@contextmanager
def scripted(**paths: list[str | web.Response]) -> Iterator[tuple[Server, Scripted]]:
    """A server with the named silences and answers to give first, by path."""
    own = Scripted({})

    def step(told: str | web.Response) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        if isinstance(told, str):
            found: Callable[[web.Request], Awaitable[web.StreamResponse]] = getattr(own, told)
            return found

        async def give(_: web.Request) -> web.StreamResponse:
            return told

        return give

    own.script = {f"/{name}": [step(told) for told in steps] for name, steps in paths.items()}
    with serve(own.answer) as server:
        yield server, own


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("silence", ["silence", "half"])
def test_silent_request_is_made_again_and_the_answer_serves(silence: str) -> None:
    with scripted(a=[silence]) as (server, own), hedging(server.url) as fetcher:
        assert run(fetcher.fetch_range(f"{server.url}/a", 10, 100)).body == BODY[10:110]
        run(until(lambda: own.gone == ["/a"]))
    assert set(own.asked) == {"/a"}
    assert fetcher.traffic.hedged >= len(own.asked) - 1 > 0
    assert fetcher.traffic.retries == 0
    assert f"{fetcher.traffic.hedged} asked twice" in str(fetcher.traffic)


@pytest.mark.parametrize("kind", ["silence", "half"])
def test_silent_document_is_asked_for_again(kind: str) -> None:
    with scripted(a=[kind]) as (server, own), hedging(server.url) as fetcher:
        assert run(fetcher.fetch_whole(f"{server.url}/a", 10_000)).body == BODY
        run(until(lambda: own.gone == ["/a"]))
    assert fetcher.traffic.hedged >= len(own.asked) - 1 > 0


def test_silent_document_in_s3_is_asked_for_again() -> None:
    with scripted(**{"archive/a": ["silence"]}) as (server, own), hedging(server.url) as fetcher:
        assert run(fetcher.fetch_whole("s3://archive/a", 10_000)).body == BODY
    assert fetcher.traffic.hedged >= len(own.asked) - 1 > 0


def signs_cease(signs: Callable[[], int]) -> bool:
    return len({signs() for _ in range(20)}) == 1


def test_long_document_is_not_fetched_a_second_time_once_it_comes() -> None:
    eight = 8 * 2**20
    assert signs_cease(document(lambda: 5, eight))
    assert signs_cease(document(lambda: eight, None))
    assert not signs_cease(document(lambda: 5, eight + 1))
    assert not signs_cease(document(lambda: eight + 1, None))
    assert not signs_cease(whole_body(eight + 1))


def test_exchange_of_credentials_is_never_made_twice() -> None:
    with scripted(keys=["silence"]) as (server, own), hedging(server.url, token=CANARY) as fetcher:

        async def exchange() -> None:
            asking = asyncio.create_task(fetcher.http.exchange(f"{server.url}/keys", 1000))
            await until(lambda: bool(own.asked))
            await asyncio.sleep(45 * TICK)
            asking.cancel()

        run(exchange())
    assert own.asked == ["/keys"]


def test_cmr_is_not_asked_twice() -> None:
    access = Access.to_cmr(Settings(), Credentials.of_token(None))
    silences = [silent_for(100)] * 3

    async def searches() -> None:
        access.fetcher.http.hedges.tick = 0.002
        for attempt in silences:
            await access.fetcher.http.hedges.first("cmr", attempt)

    run(searches())
    assert access.fetcher.http.hedges.traffic.hedged == 0


@pytest.mark.parametrize("asked", ["repo", "snapshots/"])
def test_repository_that_goes_silent_while_it_is_opened_is_opened_anew(
    asked: str, store: Path
) -> None:
    silent = [asked]

    async def answer(request: web.Request) -> web.StreamResponse:
        if silent and f"/store/{silent[0]}" in request.path:
            silent.clear()
            transport = request.transport
            assert transport is not None
            await until(transport.is_closing)
        path = store / request.path.removeprefix("/store/")
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    with serve(answer) as server:
        settings = Settings(trusted_prefixes=(f"{server.url}/",))
        with Access.of(settings, Credentials.of_token(None)) as access:
            access.fetcher.http.stall_timeout = 60.0
            access.fetcher.http.hedges.tick = TICK
            location = StoreLocation(f"{server.url}/store", ManifestFormat.ICECHUNK)
            session, _ = open_session(location, access)
            assert session.snapshot_id
            assert access.fetcher.traffic.hedged > 0
            assert access.fetcher.traffic.retries == 0


def test_second_request_that_goes_silent_brings_a_third() -> None:
    with scripted(a=["silence", "half"]) as (server, own), hedging(server.url) as fetcher:
        assert run(fetcher.fetch_range(f"{server.url}/a", 10, 100)).body == BODY[10:110]
    assert len(own.asked) == 3


def make_known(fetcher: Fetcher, url: str) -> None:
    """Have a host answer often enough that it may be asked twice several times."""
    for start in range(80):
        run(fetcher.fetch_range(f"{url}/known", start, 9))


def test_no_more_requests_are_begun_once_the_first_one_is_cut() -> None:
    begun, cut, given_up = 0, asyncio.Event(), asyncio.Event()

    async def attempt(pulse: Pulse) -> None:
        nonlocal begun
        begun += 1
        looks = count()

        def signs() -> int:
            if next(looks) == 100:
                given_up.set()
            return nothing_yet()

        pulse.signs = nothing_yet if begun == 1 else signs
        if begun == 2:
            cut.set()
        await (cut if begun == 1 else given_up).wait()
        raise UpstreamError("It broke off.")

    async def cut_off() -> None:
        hedges = Hedges(tick=0.002)
        for _ in range(80):
            await hedges.first("host", silent_for(0))
        await hedges.first("host", attempt)

    with pytest.raises(UpstreamError, match="broke off"):
        run(cut_off())
    assert begun == 2


def test_second_request_that_fails_is_made_once_more() -> None:
    busy = [web.Response(status=503) for _ in range(2)]
    with scripted(a=["half", *busy]) as (server, own), hedging(server.url) as fetcher:
        make_known(fetcher, server.url)
        assert run(fetcher.fetch_range(f"{server.url}/a", 10, 100)).body == BODY[10:110]
    assert own.asked.count("/a") >= 4
    assert fetcher.traffic.retries == 0


def test_silence_where_a_redirect_is_asked_for_does_not_hold_up_those_who_wait() -> None:
    async def together(fetcher: Fetcher, url: str) -> list[bytes]:
        work = (fetcher.fetch_range(url, start, 9) for start in range(5))
        return [own.body for own in await asyncio.gather(*work)]

    def moved() -> web.Response:
        return web.Response(status=307, headers={"Location": "/signed"})

    with scripted(a=["silence", moved(), moved()]) as (server, own), hedging(server.url) as fetcher:
        assert run(together(fetcher, f"{server.url}/a")) == [BODY[n : n + 9] for n in range(5)]
    assert 2 <= own.asked.count("/a") <= 3


@pytest.mark.parametrize("kind", ["http", "s3"])
def test_stalls_of_an_archive_are_not_waited_for(kind: str, tmp_path: Path) -> None:
    async def many(fetcher: Fetcher, url: str) -> list[bytes]:
        room = asyncio.Semaphore(16)

        async def one(start: int) -> bytes:
            async with room:
                return (await fetcher.fetch_range(url, start, 200)).body

        return await asyncio.gather(*map(one, range(200)))

    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "file").write_bytes(BODY)
    with faulty_archive(tmp_path) as archive, hedging(archive.url) as fetcher:
        archive.begin(Mischief(("stall",), 0.02, 9))
        base = f"{archive.url}/archive" if kind == "http" else "s3://archive"
        found = run(many(fetcher, f"{base}/file"))
    assert found == [BODY[n : n + 200] for n in range(200)]
    assert fetcher.traffic.hedged >= archive.faults()["stall"] >= 3
    assert fetcher.traffic.retries == 0
    assert fetcher.traffic.hedged <= 2 + 0.05 * 200


# ---------------------------------------------------------------- which answer serves


def another_range() -> web.Response:
    told = {"Content-Range": f"bytes 0-99/{len(BODY)}"}
    return web.Response(status=206, body=BODY[:100], headers=told)


def shorter_range() -> web.Response:
    told = {"Content-Range": f"bytes 10-59/{len(BODY)}"}
    return web.Response(status=206, body=BODY[10:60], headers=told)


def whole_file() -> web.Response:
    return web.Response(body=BODY)


def web_page() -> web.Response:
    return web.Response(text="<html>", content_type="text/html")


@pytest.mark.parametrize(
    "wrong, expected",
    [
        (another_range, StoreError),
        (shorter_range, UpstreamError),
        (whole_file, StoreError),
        (web_page, ForbiddenError),
    ],
)
def test_second_answer_is_checked_as_the_first_one(
    wrong: Callable[[], web.Response], expected: type[VdsError]
) -> None:
    with (
        scripted(a=["silence", wrong(), wrong()]) as (server, own),
        hedging(server.url) as fetcher,
        pytest.raises(expected),
    ):
        run(fetcher.fetch_range(f"{server.url}/a", 10, 100))
    assert len(own.asked) > 1


def test_second_request_follows_no_redirect_astray_and_takes_no_token_there(
    tmp_path: Path,
) -> None:
    with file_server(tmp_path) as stranger:
        stolen = {"Location": f"{stranger.url}/stolen"}
        astray = [web.Response(status=307, headers=stolen) for _ in range(2)]
        with (
            scripted(a=["silence", *astray]) as (server, _),
            hedging(server.url, token=CANARY) as fetcher,
            pytest.raises(UntrustedError),
        ):
            run(fetcher.fetch_range(f"{server.url}/a", 10, 100))
    assert len(server.asked) > 1
    assert all(CANARY in str(asked.headers) for asked in server.asked)
    assert stranger.asked == []


def test_second_request_that_fails_leaves_the_matter_to_the_first() -> None:
    failed = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if len(server.asked) == 1:
            await failed.wait()
            return ranged(BODY, request)
        failed.set()
        return web.Response(status=500)

    with serve(answer) as server, hedging(server.url) as fetcher:
        assert run(fetcher.fetch_range(f"{server.url}/a", 10, 100)).body == BODY[10:110]
    assert (fetcher.traffic.hedged > 0, fetcher.traffic.retries) == (True, 0)


def test_first_request_that_fails_leaves_the_matter_to_the_second() -> None:
    asked_again = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if len(server.asked) == 1:
            await asked_again.wait()
            return web.Response(status=500)
        asked_again.set()
        await asyncio.sleep(0.05)
        return ranged(BODY, request)

    with serve(answer) as server, hedging(server.url) as fetcher:
        assert run(fetcher.fetch_range(f"{server.url}/a", 10, 100)).body == BODY[10:110]
    assert (fetcher.traffic.hedged > 0, fetcher.traffic.retries) == (True, 0)


def test_whoever_gives_up_ends_both_requests() -> None:
    async def give_up(fetcher: Fetcher, url: str, own: Scripted) -> None:
        before = asyncio.all_tasks()
        fetching = asyncio.create_task(fetcher.fetch_range(url, 10, 100))
        await until(lambda: len(own.asked) >= 2)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert asyncio.all_tasks() == before
        await until(lambda: len(own.gone) == len(own.asked))

    with scripted(a=["half", *["silence"] * 3]) as (server, own), hedging(server.url) as fetcher:
        run(give_up(fetcher, f"{server.url}/a", own))


# ---------------------------------------------------------------- who is not asked twice


def test_host_that_says_when_to_come_back_is_never_asked_twice() -> None:
    busy = web.Response(status=503, headers={"Retry-After": "0"})
    with scripted(a=[busy]) as (server, _), hedging(server.url) as fetcher:
        with pytest.raises(UpstreamError):
            run(fetcher.fetch_range(f"{server.url}/a", 10, 100))
        host = server.url.removeprefix("http://")
        fetcher.http.hedges.tick = 0.002
        for kind in ("range", "document"):
            run(fetcher.http.hedges.first(host, silent_for(100), kind=kind))
    assert fetcher.traffic.hedged == 0


def silent_for(ticks: int) -> Callable[[Pulse], Coroutine[Any, Any, None]]:
    """A request that ends after so many ticks of silence."""

    async def attempt(pulse: Pulse) -> None:
        over, looks = asyncio.Event(), 0

        def signs() -> int:
            nonlocal looks
            looks += 1
            if looks > ticks:
                over.set()
            return nothing_yet()

        pulse.signs = signs
        if ticks:
            await over.wait()

    return attempt


def hedged(*silences: int) -> int:
    """How many second requests requests bring that are silent for so many ticks."""

    async def one_after_another() -> int:
        hedges = Hedges(tick=0.002)
        for ticks in silences:
            await hedges.first("host", silent_for(ticks))
        return hedges.traffic.hedged

    return run(one_after_another())


def test_silence_is_measured_by_what_is_usual_at_a_host() -> None:
    assert hedged(29) == 0, "nothing is known of it"
    assert hedged(31) == 1
    assert hedged(*[0] * 10, 9) == 0
    assert hedged(*[0] * 10, 11) == 1
    slow = [5] * 10
    assert hedged(*slow, 23) == 0, "four times as long as usual is not over"
    assert hedged(*slow, 25) == 1


def test_second_requests_are_rare_however_silent_a_host_becomes() -> None:
    assert hedged(*[0] * 100, *[11] * 20) <= 2 + 0.05 * 120


def test_pause_of_a_whole_host_brings_few_requests_at_once() -> None:
    async def all_of_them() -> int:
        hedges, over, looks = Hedges(tick=TICK), asyncio.Event(), 0

        def signs() -> int:
            nonlocal looks
            looks += 1
            if looks > 50 * 20:
                over.set()
            return nothing_yet()

        async def attempt(pulse: Pulse) -> None:
            pulse.signs = signs
            await over.wait()

        for _ in range(200):
            await hedges.first("host", silent_for(0))
        await asyncio.gather(*(hedges.first("host", attempt) for _ in range(50)))
        return hedges.traffic.hedged

    assert run(all_of_them()) == 4


def test_body_that_still_arrives_is_waited_for() -> None:
    async def attempt(pulse: Pulse) -> None:
        over, arrived = asyncio.Event(), 0

        def signs() -> int:
            nonlocal arrived
            arrived += 1
            if arrived > 60:
                over.set()
            return arrived

        pulse.signs = signs
        await over.wait()

    async def slowly() -> int:
        hedges = Hedges(tick=TICK / 10)
        await hedges.first("host", attempt)
        return hedges.traffic.hedged

    assert run(slowly()) == 0


@asynccontextmanager
async def busy(seconds: float) -> AsyncIterator[None]:
    """Keep the loop from running for so long, again and again."""

    async def hold() -> None:
        while True:
            time.sleep(seconds)  # noqa: ASYNC251
            await asyncio.sleep(0)

    holding = asyncio.create_task(hold())
    try:
        yield
    finally:
        holding.cancel()


def test_process_that_gets_no_time_takes_no_server_for_silent() -> None:
    async def attempt(pulse: Pulse) -> None:
        pulse.signs = nothing_yet
        for _ in range(10):
            await asyncio.sleep(0)

    async def starved() -> int:
        hedges = Hedges(tick=TICK)
        for _ in range(10):
            await hedges.first("host", silent_for(0))
        async with busy(0.15):
            await hedges.first("host", attempt)
        return hedges.traffic.hedged

    assert run(starved()) == 0


def test_who_waits_for_a_connection_is_not_silent() -> None:
    async def two(http: HttpClient, url: str) -> None:
        work = [http.fetch_range(f"{url}/{name}", 0, 10, http.trust) for name in ("a", "b", "c")]
        tasks = [asyncio.create_task(own) for own in work]
        await until(lambda: http.hedges.traffic.hedged > 0)
        await asyncio.sleep(10 * TICK)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with scripted(a=["silence"]) as (server, own):
        trust = Trust.of_settings([f"{server.url}/"])
        http = HttpClient(
            trust, Credentials.of_token(None), max_connections=1, hedges=Hedges(tick=TICK)
        )
        run(two(http, server.url))
        run(http.close())
    assert own.asked[:1] == ["/a"]
    assert http.hedges.traffic.hedged == 1
