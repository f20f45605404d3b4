"""Logs without secrets, labelled with their work item; the clock."""

import io
import json
import logging
import sys
import time

import pytest
from harmony_service_lib.logging import HarmonyJsonFormatter

from harmony_vds.errors import TimeLimitError
from harmony_vds.telemetry import (
    Deadline,
    RedactingFormatter,
    WorkItemFilter,
    keep_secret,
    redact,
    timed,
)

SIGNED = (
    "https://b.s3.amazonaws.com/k?X-Amz-Credential=ASIAABCDEFGHIJKLMNOP%2F2026&X-Amz-Signature=0a1b2c"
    "&X-Amz-Security-Token=FwoGZXIvYXdzEBY"
)


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("Authorization: Bearer abcdef.ghi-jkl_mno", ["abcdef.ghi-jkl_mno"]),
        ("{'Authorization': 'bearer abcdefgh12345'}", ["abcdefgh12345"]),
        (SIGNED, ["ASIAABCDEFGHIJKLMNOP", "0a1b2c", "FwoGZXIvYXdzEBY"]),
        ('{"accessToken": "nonce==:sealed=="}', ["nonce==:sealed=="]),
        ("access_token=abc123", ["abc123"]),
        ('"secretAccessKey": "wJalrXUtnFEMI/K7MDENG"', ["wJalrXUtnFEMI/K7MDENG"]),
        ("aws_secret_access_key = wJalrXUtnFEMI", ["wJalrXUtnFEMI"]),
        ("sessionToken: 'IQoJb3JpZ2lu'", ["IQoJb3JpZ2lu"]),
        ("key AKIAIOSFODNN7EXAMPLE used", ["AKIAIOSFODNN7EXAMPLE"]),
        ("eyJhbGciOiJSUzI1NiJ9.eyJ1aWQiOiJ4In0.c2lnbmF0dXJl", ["eyJ1aWQiOiJ4In0", "c2lnbmF0dXJl"]),
    ],
)
def test_secrets_of_known_form_are_masked(text: str, secrets: list[str]) -> None:
    masked = redact(text)
    assert "<redacted>" in masked
    for secret in secrets:
        assert secret not in masked


@pytest.mark.parametrize(
    "text",
    [
        "412 chunks, 1.8 GiB in → 640 MiB out",
        "The token is missing; the bearer of bad news",
        "s3://podaac-ops-cumulus-public/virtual_collections/A/A_virtual_s3.json",
        "a key that is 3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact(text) == text


def record_in_json(log: logging.Logger) -> io.StringIO:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    inner = HarmonyJsonFormatter()
    inner.app_name = "test"
    handler.setFormatter(RedactingFormatter(inner))
    handler.addFilter(WorkItemFilter("r-1", "somebody"))
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.DEBUG)
    return stream


def test_secret_is_masked_in_arguments_extras_and_tracebacks() -> None:
    keep_secret("a-very-secret-word")
    log = logging.getLogger("test.redaction")
    stream = record_in_json(log)
    log.info("said %s", "a-very-secret-word", extra={"detail": "a-very-secret-word"})
    try:
        int("a-very-secret-word")
    except ValueError:
        log.exception("failed")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert "ValueError" in lines[1]
    assert all("very-secret" not in line for line in lines)


def test_every_line_carries_request_id_and_user_unless_it_has_its_own() -> None:
    log = logging.getLogger("test.labels")
    stream = record_in_json(log)
    log.info("plain")
    log.info("own", extra={"requestId": "r-2", "user": "else"})
    log.info("empty", extra={"requestId": None, "user": None})
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(own["requestId"], own["user"]) for own in told] == [
        ("r-1", "somebody"), ("r-2", "else"), ("r-1", "somebody"),
    ]  # fmt: skip


def test_stage_and_its_duration_are_fields_of_the_log_line() -> None:
    log = logging.getLogger("harmony_vds.telemetry")
    before = (log.handlers, log.propagate, log.level)
    stream = record_in_json(log)
    with timed("plan"):
        time.sleep(0.02)
    log.handlers, log.propagate = before[:2]
    log.setLevel(before[2])
    told = json.loads(stream.getvalue())
    assert told["timestamp"].endswith("Z")
    assert told["stage"] == "plan"
    assert 20 <= told["durationMs"] < 60_000


def test_deadline_tells_limit_progress_and_what_to_ask_instead() -> None:
    Deadline(60).check()
    over = Deadline(1.5, started=time.monotonic() - 2)
    with pytest.raises(TimeLimitError) as caught:
        over.check(0.25)
    for part in ("25%", "1.5 s", "HARMONY_VDS_MAX_SECONDS", "shorter time range"):
        assert part in str(caught.value)
    assert sys.getsizeof(str(caught.value)) < 1000
