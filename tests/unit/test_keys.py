"""Temporary S3 credentials: how they are asked for, kept, renewed and kept secret."""

import asyncio
import copy
import json
import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from archive import EULA, SECRET, SESSION, Archive, archive
from invocation import CANARY

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.http import HttpClient
from harmony_vds.access.keys import KeyRing, S3Keys, keys_of_answer
from harmony_vds.access.loop import run
from harmony_vds.access.trust import Trust
from harmony_vds.errors import ForbiddenError, UpstreamError
from harmony_vds.telemetry import redact

NOW = datetime(2025, 12, 15, 13, 30, 45, tzinfo=UTC)


@contextmanager
def ring(own: Archive, token: str | None = CANARY) -> Iterator[KeyRing]:
    trust = Trust.of_settings([own.tea.url])
    http = HttpClient(trust, Credentials.of_token(token, [own.tea.url]))
    yield KeyRing(http, own.now)
    run(http.close())


@pytest.fixture
def centre() -> Iterator[Archive]:
    with archive("") as own:
        yield own


def answer(expiration: str) -> bytes:
    return json.dumps({"accessKeyId": "ASIAX", "secretAccessKey": SECRET, "sessionToken": SESSION,
                       "expiration": expiration, "more": 1}).encode()  # fmt: skip


@pytest.mark.parametrize(
    "told",
    ["2025-12-15T14:30:45.123456Z", "2025-12-15 14:30:45+00:00", "2025-12-15T14:30:45+0000",
     "2025-12-15T07:30:45-07:00", "2025-12-15 14:30:45"],
)  # fmt: skip
def test_expiration_is_understood_in_every_spelling(told: str) -> None:
    keys = keys_of_answer(answer(told), "https://x/s3credentials", NOW)
    assert keys.expires.replace(microsecond=0) == NOW + timedelta(hours=1)
    assert keys.expires - keys.renew == timedelta(minutes=5)


def test_short_lived_keys_are_renewed_when_two_thirds_of_their_time_are_over() -> None:
    keys = keys_of_answer(answer("2025-12-15T13:30:48Z"), "https://x/s3credentials", NOW)
    assert keys.renew == NOW + timedelta(seconds=2)


def test_keys_that_ended_by_a_wrong_clock_are_used_for_a_while() -> None:
    keys = keys_of_answer(answer("2025-12-15T11:00:00Z"), "https://x/s3credentials", NOW)
    assert NOW < keys.renew < keys.expires


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{}", answer("soon"), answer(""), b'{"secretAccessKey": 5}',
     answer("2025-12-15T14:30:45Z")[:-3], b"\xff"],
)  # fmt: skip
def test_answer_of_another_form_is_an_error_that_repeats_nothing_of_it(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="something other") as caught:
        keys_of_answer(body, "https://x/s3credentials", NOW)
    assert SESSION not in str(caught.value)


def test_keys_show_nowhere() -> None:
    keys = keys_of_answer(answer("2025-12-15T14:30:45Z"), "https://x/s3credentials", NOW)
    shown = f"{keys!r} {keys} {[keys]}"
    assert SECRET not in shown
    assert SESSION not in shown
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(keys)
    assert redact(f"{SECRET} {SESSION}") == "<redacted> <redacted>"


def test_hundred_waiting_chunks_ask_once(centre: Archive) -> None:
    async def all_at_once(own: KeyRing) -> list[S3Keys]:
        return await asyncio.gather(*[own.keys(centre.endpoint) for _ in range(100)])

    with ring(centre) as own:
        keys = run(all_at_once(own))
        assert len(set(map(id, keys))) == 1
        assert run(own.keys(centre.endpoint)) is keys[0]
    assert centre.exchanges == 1


def test_keys_are_renewed_before_they_end(centre: Archive) -> None:
    centre.promised = 900
    with ring(centre) as own:
        first = run(own.keys(centre.endpoint))
        centre.passed = 300
        assert run(own.keys(centre.endpoint)) is first
        centre.passed = 700
        assert centre.now() < first.expires
        assert run(own.keys(centre.endpoint)) is not first
    assert centre.exchanges == 2


def test_spent_keys_are_exchanged_once_however_many_found_them_spent(centre: Archive) -> None:
    async def all_at_once(own: KeyRing, spent: S3Keys) -> list[S3Keys]:
        return await asyncio.gather(*[own.keys(centre.endpoint, spent) for _ in range(20)])

    with ring(centre) as own:
        spent = run(own.keys(centre.endpoint))
        fresh = run(all_at_once(own, spent))
        assert spent not in fresh
        assert len(set(map(id, fresh))) == 1
    assert centre.exchanges == 2


def test_good_keys_outlast_an_endpoint_in_trouble(centre: Archive) -> None:
    centre.promised = 900
    with ring(centre) as own:
        first = run(own.keys(centre.endpoint))
        centre.fault, centre.passed = "down", 700
        assert run(own.keys(centre.endpoint)) is first
        centre.passed = 1000
        with pytest.raises(UpstreamError, match="503"):
            run(own.keys(centre.endpoint))


@pytest.mark.parametrize(
    ("fault", "error", "told"),
    [
        ("login", ForbiddenError, "login form"),
        ("html", ForbiddenError, "login form"),
        ("eula", ForbiddenError, EULA),
        ("outside", ForbiddenError, "status 403"),
        ("garbage", UpstreamError, "something other"),
        ("down", UpstreamError, "status 503"),
    ],
)
def test_endpoint_that_gives_no_keys_is_an_error_that_tells_what_to_do(
    fault: str, error: type[Exception], told: str, centre: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    centre.fault = fault
    with ring(centre) as own, pytest.raises(error) as caught:
        run(own.keys(centre.endpoint))
    assert type(caught.value) is error
    assert told in str(caught.value)
    assert CANARY not in f"{caught.value}{caplog.text}"
    assert [asked.path for asked in centre.tea.asked] == ["/s3credentials"]


def test_without_token_no_endpoint_is_asked(centre: Archive) -> None:
    with ring(centre, None) as own, pytest.raises(ForbiddenError, match="there is none"):
        run(own.keys(centre.endpoint))
    assert centre.tea.asked == []


def test_source_for_other_threads_is_pickled_without_secrets_and_ends_with_its_ring(
    centre: Archive,
) -> None:
    with ring(centre) as own:
        pickled = pickle.dumps(own.source(centre.endpoint))
        source = pickle.loads(pickled)
        assert source().session_token.startswith(SESSION)
        for secret in (CANARY, SECRET, SESSION):
            assert secret.encode() not in pickle.dumps(source)
    del own
    with pytest.raises(ForbiddenError, match="open it anew"):
        source()
