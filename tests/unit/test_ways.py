"""How protected, public and unknown buckets are read, and where the token and keys never go."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp import web
from archive import EULA, SECRET, SESSION, Archive, archive
from invocation import CANARY
from servers import Server, bucket_of, serve

from harmony_vds.access.buckets import learn_twins
from harmony_vds.access.credentials import Credentials
from harmony_vds.access.gateway import Access
from harmony_vds.access.http import Received
from harmony_vds.access.loop import run
from harmony_vds.access.ways import Way
from harmony_vds.errors import ForbiddenError, MissingSourceError, StoreError, UpstreamError
from harmony_vds.settings import Settings

BODY = bytes(range(256)) * 8
PROTECTED, PUBLIC = "centre-protected", "nasa-waterinsight"
OBJECT = f"s3://{PROTECTED}/MUR/a.nc"


@pytest.fixture(scope="module")
def moto(s3: str) -> str:
    for bucket in (PROTECTED, PUBLIC):
        client = bucket_of(s3, bucket)
        client.put_object(Bucket=bucket, Key="MUR/a.nc", Body=BODY, ACL="public-read")
    return s3


@pytest.fixture
def centre(moto: str) -> Iterator[Archive]:
    with archive(moto, public=(PUBLIC,)) as own:
        yield own


@contextmanager
def access(
    centre: Archive,
    *,
    token: str | None = CANARY,
    endpoint: str | None = "",
    twin: bool = True,
    mode: Any = "auto",
    listed: bool = True,
) -> Iterator[Access]:
    """Access after the record of a collection in the protected bucket was read."""
    settings = Settings(
        trusted_prefixes=(f"{centre.tea.url}/",), token_hosts=(centre.tea.url,) * listed,
        s3_endpoint_url=centre.s3.url, s3=mode,
    )  # fmt: skip
    twins = learn_twins([f"{centre.tea.url}/{PROTECTED}/MUR/b.nc"], [f"s3://{PROTECTED}/MUR/b.nc"])
    credentials = Credentials.of_token(token, settings.token_hosts)
    with Access.of(settings, credentials) as own:
        own.fetcher.s3.ring.clock = centre.now
        told = centre.endpoint if endpoint == "" else endpoint
        yield own.recording((f"s3://{PROTECTED}/MUR/",), None, told, twins if twin else ())


def read(own: Access, url: str = OBJECT, start: int = 0) -> bytes:
    return run(own.fetcher.fetch_range(url, start, 100)).body


async def many(own: Access, count: int) -> list[Received]:
    return await asyncio.gather(*[own.fetcher.fetch_range(OBJECT, n, 10) for n in range(count)])


def told_way(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if f"s3://{PROTECTED} is read" in line]


def test_protected_bucket_is_read_with_one_exchange_however_many_chunks(centre: Archive) -> None:
    with access(centre) as own:
        received = run(many(own, 60))
        whole = run(own.fetcher.fetch_whole(OBJECT, 10_000))
    assert [r.body for r in received] == [BODY[n : n + 10] for n in range(60)]
    assert whole.body == BODY
    assert centre.exchanges == 1
    assert len(centre.s3.asked) == 61
    assert all("x-amz-security-token" in asked.headers for asked in centre.s3.asked)


def test_credentials_that_live_shorter_than_the_read_are_renewed(centre: Archive) -> None:
    centre.promised = centre.kept = 3000
    centre.spelling = " "
    with access(centre) as own:
        for number in range(20):  # for 9,500 seconds; each serves for 2,700, to the next full 500
            centre.passed = 500 * number
            assert read(own, start=number) == BODY[number : number + 100]
    assert centre.exchanges == 4
    assert {asked.status for asked in centre.s3.asked} == {206}


def test_credentials_that_end_before_they_should_are_exchanged_once(centre: Archive) -> None:
    centre.kept = 300
    with access(centre) as own:
        assert read(own) == BODY[:100]
        centre.passed, centre.kept = 400, 3600
        assert [r.body for r in run(many(own, 20))] == [BODY[n : n + 10] for n in range(20)]
        assert own.fetcher.traffic.retries == 0
    assert centre.exchanges == 2


def test_keys_that_never_work_are_an_error_after_one_renewal(centre: Archive) -> None:
    centre.kept = -1
    with access(centre, twin=False) as own, pytest.raises(ForbiddenError) as caught:
        read(own)
    assert "credentials endpoint gives keys that do not work" in str(caught.value)
    assert SESSION not in str(caught.value)
    assert centre.exchanges == 2


@pytest.mark.parametrize("trouble", ["outside", "closed", "down"])
def test_where_s3_is_out_of_reach_the_twin_is_read_and_that_is_decided_once(
    trouble: str, centre: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    if trouble == "closed":
        centre.closed = True
    else:
        centre.fault = trouble
    with access(centre) as own:
        assert [r.body for r in run(many(own, 30))] == [BODY[n : n + 10] for n in range(30)]
        assert run(own.fetcher.fetch_whole(OBJECT, 10_000)).body == BODY
    assert centre.exchanges == 1
    assert len(centre.s3.asked) == (trouble == "closed")
    assert centre.objects(centre.tea) == 31
    assert told_way(caplog) == [f"s3://{PROTECTED} is read over https"]
    for secret in (CANARY, SECRET, SESSION):
        assert secret not in caplog.text


def test_operator_may_forbid_https(centre: Archive) -> None:
    centre.fault = "outside"
    with access(centre, mode="direct") as own, pytest.raises(ForbiddenError, match="status 403"):
        read(own)
    assert centre.objects(centre.tea) == 0


def test_operator_may_demand_https(centre: Archive) -> None:
    with access(centre, mode="https") as own:
        assert read(own) == BODY[:100]
        assert read(own, f"s3://{PUBLIC}/MUR/a.nc") == BODY[:100]  # no twin: open to anyone
    assert centre.exchanges == 0
    assert [asked.path for asked in centre.s3.asked] == [f"/{PUBLIC}/MUR/a.nc"]


def test_agreement_to_accept_is_told_to_the_user(centre: Archive) -> None:
    centre.fault = "eula"
    with access(centre, twin=False) as own, pytest.raises(ForbiddenError) as caught:
        read(own)
    assert EULA in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("fault", ["login", "html"])
def test_login_form_instead_of_credentials_is_told(fault: str, centre: Archive) -> None:
    centre.fault = fault
    with (
        access(centre, twin=False) as own,
        pytest.raises(ForbiddenError, match=r"login form.*[tT]oken"),
    ):
        read(own)


def test_without_token_a_protected_bucket_is_refused_with_the_reason(centre: Archive) -> None:
    with access(centre, token=None) as own, pytest.raises(ForbiddenError) as caught:
        read(own)
    assert "asks for an Earthdata token; there is none" in str(caught.value)
    assert centre.exchanges == 0


def test_endpoint_in_trouble_may_be_tried_again(centre: Archive) -> None:
    centre.fault = "down"
    with access(centre, twin=False) as own:
        recover: Callable[[], None] = lambda: setattr(centre, "fault", "")  # noqa: E731
        asyncio.run_coroutine_threadsafe(_later(recover), _loop()).result()
        assert read(own) == BODY[:100]
        assert own.fetcher.traffic.retries > 0


async def _later(work: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(0.05, work)


def _loop() -> asyncio.AbstractEventLoop:
    from harmony_vds.access.loop import network_loop

    return network_loop()


def test_public_bucket_is_read_without_credentials(centre: Archive) -> None:
    with access(centre) as own:
        assert read(own, f"s3://{PUBLIC}/MUR/a.nc") == BODY[:100]
    assert centre.exchanges == 0
    (asked,) = centre.s3.asked
    assert not {"Authorization", "x-amz-security-token"} & set(asked.headers)


def test_public_bucket_that_is_protected_after_all_is_read_with_credentials(moto: str) -> None:
    with archive(moto) as centre, access(centre) as own:
        told = own.recording((f"s3://{PUBLIC}/",), None, centre.endpoint)
        assert read(told, f"s3://{PUBLIC}/MUR/a.nc") == BODY[:100]
        assert read(told, f"s3://{PUBLIC}/MUR/a.nc", 5) == BODY[5:105]
    assert [asked.status for asked in centre.s3.asked] == [403, 206, 206]
    assert centre.exchanges == 1


def test_open_bucket_whose_record_names_an_endpoint_is_read_at_last_without(moto: str) -> None:
    with (
        archive(moto, public=(PROTECTED,), fault="outside") as centre,
        access(centre, twin=False) as own,
    ):
        assert read(own) == BODY[:100]
        assert own.fetcher.s3.way(own.fetcher.trust.check(OBJECT), own.fetcher.buckets) is (
            Way.ANONYMOUS
        )


def test_bucket_of_which_nothing_is_told_is_read_without_credentials(centre: Archive) -> None:
    with (
        access(centre, endpoint=None, twin=False) as own,
        pytest.raises(ForbiddenError, match="without credentials"),
    ):
        read(own)
    assert centre.exchanges == 0
    assert len(centre.s3.asked) == 1


def test_missing_object_is_missing_by_whichever_way(centre: Archive) -> None:
    with access(centre) as own, pytest.raises(MissingSourceError):
        read(own, f"s3://{PROTECTED}/MUR/none.nc")
    centre.fault = "outside"
    with access(centre) as own, pytest.raises(MissingSourceError):
        read(own, f"s3://{PROTECTED}/MUR/none.nc")


def test_object_that_is_too_short_is_refused_by_whichever_way(centre: Archive) -> None:
    for fault in ("", "outside"):
        centre.fault = fault
        with access(centre) as own, pytest.raises(StoreError, match="shorter"):
            run(own.fetcher.fetch_range(OBJECT, len(BODY) - 5, 10))


@pytest.fixture
def stranger() -> Iterator[Server]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"accessKeyId": "AKIAEVIL", "secretAccessKey": "evil-key", "sessionToken": "evil",
             "expiration": "2099-01-01T00:00:00Z"}
        )  # fmt: skip

    with serve(answer) as server:
        yield server


def test_token_goes_to_no_endpoint_that_only_a_record_names(
    centre: Archive, stranger: Server
) -> None:
    for endpoint in (f"{stranger.url}/s3credentials", "https://evil.com/s3credentials"):
        with access(centre, endpoint=endpoint, twin=False) as own, pytest.raises(ForbiddenError):
            read(own)
    assert stranger.asked == []


def test_token_goes_to_no_twin_that_only_links_name(centre: Archive, stranger: Server) -> None:
    centre.fault = "outside"
    twins = learn_twins([f"{stranger.url}/MUR/a.nc"], [OBJECT])
    with access(centre, twin=False) as own, pytest.raises(ForbiddenError, match="is not read"):
        read(own.recording((), twins=twins))
    assert stranger.asked == []


def test_redirecting_endpoint_gets_no_token_on_the_way(centre: Archive, stranger: Server) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"{stranger.url}/s3credentials"})

    with serve(answer) as moved:
        settings = Settings(
            trusted_prefixes=(f"{moved.url}/", f"{stranger.url}/"), token_hosts=(moved.url,),
            s3_endpoint_url=centre.s3.url,
        )  # fmt: skip
        credentials = Credentials.of_token(CANARY, settings.token_hosts)
        with Access.of(settings, credentials) as own, pytest.raises(ForbiddenError):
            read(own.recording((f"s3://{PROTECTED}/",), None, f"{moved.url}/s3credentials"))
    assert stranger.asked == []


def test_credentials_and_endpoints_of_the_environment_are_not_used(
    centre: Archive, stranger: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAAMBIENT", "AWS_SECRET_ACCESS_KEY": "ambient-secret",
        "AWS_SESSION_TOKEN": "ambient-session", "AWS_ENDPOINT_URL": stranger.url,
        "AWS_ENDPOINT_URL_S3": stranger.url, "AWS_ENDPOINT": stranger.url, "AWS_ALLOW_HTTP": "true",
        "AWS_SKIP_SIGNATURE": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with access(centre) as own:
        assert read(own) == BODY[:100]
        assert read(own, f"s3://{PUBLIC}/MUR/a.nc") == BODY[:100]
    sent = str([asked.headers for asked in centre.s3.asked + centre.tea.asked])
    assert "AMBIENT" not in sent
    assert "ambient" not in sent
    # AWS itself, unreachable from a test: what matters is that the stranger is not asked for it.
    with Access.of(Settings(), Credentials.of_token(None)) as own, pytest.raises(UpstreamError):
        run(own.fetcher.s3.client.fetch_range(own.fetcher.trust.check(
            "s3://nasa-waterinsight/x"), 0, 1, "nowhere-1"))  # fmt: skip
    assert stranger.asked == []


def test_worker_reads_by_itself_what_was_recorded(centre: Archive) -> None:
    with access(centre) as own:
        sent = own.for_worker()
    with sent.restore() as own:
        assert read(own) == BODY[:100]
    assert centre.exchanges == 1
