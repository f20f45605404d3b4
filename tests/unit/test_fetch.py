"""Byte ranges: what is retried, for how long, and what never is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web
from servers import faulty_server, listener, ranged, serve
from tenacity import AsyncRetrying, RetryCallState

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.fetch import Fetcher, RetryPolicy
from harmony_vds.access.http import HttpClient
from harmony_vds.access.loop import run
from harmony_vds.access.trust import Trust
from harmony_vds.access.ways import S3Reader
from harmony_vds.errors import (
    MissingSourceError,
    StoreError,
    TimeLimitError,
    UntrustedError,
    UpstreamError,
    VdsError,
)
from harmony_vds.telemetry import Deadline

BODY = bytes(range(256)) * 8
QUICK = RetryPolicy(attempts=6, budget=20.0, first_wait=0.01, longest_wait=0.05)


@contextmanager
def fetcher_for(
    *prefixes: str, policy: RetryPolicy = QUICK, deadline: Deadline | None = None
) -> Iterator[Fetcher]:
    trust = Trust.of_settings(prefixes)
    http = HttpClient(trust, Credentials.of_token(None), stall_timeout=2.0)
    try:
        yield Fetcher(trust, http, S3Reader(http), policy, deadline=deadline)
    finally:
        run(http.close())


PASSING = ["408", "429", "500", "502", "503", "504", "reset", "truncated", "short", "stall"]


@pytest.mark.parametrize("fault", PASSING)
def test_passing_fault_is_retried_until_the_bytes_are_right(fault: str) -> None:
    with faulty_server(BODY, fault, fault) as server, fetcher_for(server.url) as fetcher:
        received = run(fetcher.fetch_range(f"{server.url}/a", 100, 500))
    assert received.body == BODY[100:600]
    assert len(server.asked) == 3
    assert (fetcher.traffic.retries, fetcher.traffic.nbytes) == (2, 500)


@pytest.mark.parametrize(
    "fault",
    ["400", "401", "403", "404", "405", "409", "410", "416", "418", "425", "451",
     "whole", "elsewhere", "html-200", "html-206"],
)  # fmt: skip
def test_lasting_fault_is_asked_once(fault: str) -> None:
    with (
        faulty_server(BODY, *[fault] * 9) as server,
        fetcher_for(server.url) as fetcher,
        pytest.raises(VdsError) as caught,
    ):
        run(fetcher.fetch_range(f"{server.url}/a", 100, 500))
    assert not isinstance(caught.value, UpstreamError)
    assert len(server.asked) == 1


@pytest.mark.parametrize("fault", ["429", "503", "reset"])
def test_fault_that_does_not_pass_ends_after_the_attempts(fault: str) -> None:
    with (
        faulty_server(BODY, *[fault] * 99) as server,
        fetcher_for(server.url) as fetcher,
        pytest.raises(UpstreamError),
    ):
        run(fetcher.fetch_range(f"{server.url}/a", 0, 10))
    assert len(server.asked) == QUICK.attempts


def test_retries_end_with_their_budget_of_time() -> None:
    patient = RetryPolicy(attempts=10_000, budget=0.5, first_wait=0.05, longest_wait=0.05)
    with (
        faulty_server(BODY, *["503"] * 10_000) as server,
        fetcher_for(server.url, policy=patient) as fetcher,
    ):
        start = time.monotonic()
        with pytest.raises(UpstreamError):
            run(fetcher.fetch_range(f"{server.url}/a", 0, 10))
        assert 0.4 < time.monotonic() - start < 100  # all attempts would take 500


@pytest.mark.parametrize(("attempt", "bound"), [(1, 0.2), (2, 0.4), (3, 0.8), (5, 2.0), (9, 2.0)])
def test_pauses_have_full_jitter_below_a_doubling_bound(attempt: int, bound: float) -> None:
    policy = RetryPolicy(first_wait=0.2, longest_wait=2.0)
    with fetcher_for(policy=policy) as fetcher:
        state = RetryCallState(AsyncRetrying(), None, (), {})
        state.attempt_number = attempt
        pauses = [fetcher._pause(state) for _ in range(500)]
    assert 0 <= min(pauses) < 0.1 * bound
    assert 0.9 * bound < max(pauses) <= bound


def timed_fetch(
    told: str, policy: RetryPolicy, deadline: Deadline | None = None
) -> tuple[bytes, float]:
    """A range from a server that once says 429 and when to come back; body and seconds."""
    with (
        faulty_server(BODY, "429", headers={"Retry-After": told}) as server,
        fetcher_for(server.url, policy=policy, deadline=deadline) as fetcher,
    ):
        start = time.monotonic()
        body = run(fetcher.fetch_range(f"{server.url}/a", 0, 10)).body
        return body, time.monotonic() - start


def test_server_that_tells_when_to_come_back_is_not_asked_before() -> None:
    patient = RetryPolicy(first_wait=0.01, longest_wait=30)
    body, seconds = timed_fetch("1", patient)
    assert body == BODY[:10]
    assert seconds >= 1


def test_server_may_tell_a_date_to_come_back_at() -> None:
    patient = RetryPolicy(first_wait=0.01, longest_wait=30)
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    body, seconds = timed_fetch(then, patient)
    assert body == BODY[:10]
    assert seconds >= 0.5  # dates have whole seconds


@pytest.mark.parametrize("told", ["3600", "Fri, 01 Jan 2100 00:00:00 GMT", "9" * 40])
def test_server_cannot_make_us_wait_beyond_the_policy(told: str) -> None:
    body, seconds = timed_fetch(told, RetryPolicy(first_wait=0.01, longest_wait=0.2))
    assert body == BODY[:10]
    assert 0.2 <= seconds < 1000  # it asked for an hour or more


def test_server_cannot_make_us_wait_beyond_the_deadline() -> None:
    with pytest.raises(TimeLimitError):
        timed_fetch("3600", RetryPolicy(first_wait=0.01, longest_wait=30), Deadline(0.3))


@pytest.mark.parametrize("told", ["soon", "-5", "1.5", "", "0", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_malformed_or_past_time_to_come_back_does_not_delay(told: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        timed_fetch(told, RetryPolicy(attempts=1))
    assert not caught.value.retry_after


def test_connection_closed_without_an_answer_is_asked_no_more_often_than_the_policy_says() -> None:
    """aiohttp would by itself ask once more on a connection that was used before."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/closes":
            assert request.transport is not None
            request.transport.abort()
        return ranged(BODY, request)

    with serve(answer) as server, fetcher_for(server.url) as fetcher:
        run(fetcher.fetch_range(f"{server.url}/a", 0, 10))
        with pytest.raises(UpstreamError):
            run(fetcher.fetch_range(f"{server.url}/closes", 0, 10))
    assert server.paths().count("/closes") == QUICK.attempts


def test_fetcher_that_trusts_less_does_not_learn_from_one_that_trusts_more() -> None:
    with fetcher_for() as fetcher:
        url = "https://archive.example.org/collection/granule.nc"
        trusting = fetcher.recording(("https://archive.example.org/collection/",))
        assert trusting._checked(url) is trusting._checked(url)
        with pytest.raises(UntrustedError):
            run(fetcher.fetch_range(url, 0, 1))
        # Nor does a derived one keep what its origin was allowed to read, once trust is another.
        narrow = replace(trusting, trust=fetcher.trust)
        with pytest.raises(UntrustedError):
            run(narrow.fetch_range(url, 0, 1))


def test_link_on_disk_is_judged_anew_each_time(tmp_path: Path) -> None:
    for name in ("open", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_bytes(BODY)
    link = tmp_path / "open" / "link"
    link.symlink_to(tmp_path / "open" / "a")
    with fetcher_for((tmp_path / "open").as_uri()) as fetcher:
        assert run(fetcher.fetch_range(link.as_uri(), 0, 4)).body == BODY[:4]
        link.unlink()
        link.symlink_to(tmp_path / "secret" / "a")
        with pytest.raises(UntrustedError):
            run(fetcher.fetch_range(link.as_uri(), 0, 4))


def test_stalled_connection_is_cut_within_its_timeout() -> None:
    once = RetryPolicy(attempts=1)
    with (
        faulty_server(BODY, "stall") as server,
        fetcher_for(server.url, policy=once) as fetcher,
    ):
        start = time.monotonic()
        with pytest.raises(UpstreamError):
            run(fetcher.fetch_range(f"{server.url}/a", 0, 1000))
        assert time.monotonic() - start < 30  # the server would stall for two minutes


def test_deadline_cuts_a_stalled_request_and_the_pauses() -> None:
    slow = RetryPolicy(attempts=99, budget=60, first_wait=30, longest_wait=30)
    for fault in ("stall", "503"):
        with faulty_server(BODY, *[fault] * 99) as server:
            http = HttpClient(Trust.of_settings([server.url]), Credentials.of_token(None))
            fetcher = Fetcher(http.trust, http, S3Reader(http), slow, deadline=Deadline(0.5))
            start = time.monotonic()
            with pytest.raises(TimeLimitError, match="HARMONY_VDS_MAX_SECONDS"):
                run(fetcher.fetch_range(f"{server.url}/a", 0, 1000))
            assert time.monotonic() - start < 30  # one pause would take up to 30, ten more
            run(http.close())


def test_untrusted_address_is_never_connected_to() -> None:
    with listener() as (port, peers), fetcher_for() as fetcher:
        for url in (f"http://127.0.0.1:{port}/a", f"https://localhost:{port}/a"):
            with pytest.raises(UntrustedError):
                run(fetcher.fetch_range(url, 0, 1))
    assert peers == []


def test_local_files_are_read_only_where_the_operator_says(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BODY)
    with fetcher_for(tmp_path.as_uri()) as fetcher:
        assert run(fetcher.fetch_range((tmp_path / "a").as_uri(), 3, 4)).body == BODY[3:7]
        with pytest.raises(StoreError, match="ends before"):
            run(fetcher.fetch_range((tmp_path / "a").as_uri(), len(BODY) - 1, 2))
        with pytest.raises(MissingSourceError):
            run(fetcher.fetch_range((tmp_path / "b").as_uri(), 0, 1))
        with pytest.raises(UntrustedError):
            run(fetcher.fetch_range("file:///etc/hostname", 0, 1))


@pytest.mark.parametrize(("start", "length"), [(-1, 5), (0, -5)])
def test_negative_range_is_refused(start: int, length: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BODY)
    with fetcher_for(tmp_path.as_uri()) as fetcher, pytest.raises(StoreError, match="negative"):
        run(fetcher.fetch_range((tmp_path / "a").as_uri(), start, length))
