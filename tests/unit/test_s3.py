"""Byte ranges from S3, on a real S3 server and on servers that fail as S3 does."""

import time

import pytest
from servers import bucket_of, failing_server, faulty_server

from harmony_vds.access.loop import run
from harmony_vds.access.s3 import S3Client
from harmony_vds.access.trust import Address
from harmony_vds.errors import ForbiddenError, MissingSourceError, StoreError, UpstreamError

BODY = bytes(range(256)) * 8
OBJECT = Address.of("s3://bucket/folder/416/a b+c.nc")


@pytest.fixture(scope="module")
def endpoint(s3: str) -> str:
    client = bucket_of(s3, "bucket")
    client.put_object(Bucket="bucket", Key="folder/416/a b+c.nc", Body=BODY, ACL="public-read")
    return s3


def test_range_and_whole_are_the_objects_bytes(endpoint: str) -> None:
    client = S3Client(endpoint)
    assert run(client.fetch_range(OBJECT, 100, 50)).body == BODY[100:150]
    assert run(client.fetch_whole(OBJECT, len(BODY))).body == BODY


def test_object_shorter_than_its_manifest_says_is_the_stores_fault(endpoint: str) -> None:
    for start in (len(BODY) - 5, len(BODY) + 5):
        with pytest.raises(StoreError, match="shorter than its manifest"):
            run(S3Client(endpoint).fetch_range(OBJECT, start, 10))


def test_missing_object_and_too_large_document_are_refused(endpoint: str) -> None:
    client = S3Client(endpoint)
    with pytest.raises(MissingSourceError):
        run(client.fetch_range(Address.of("s3://bucket/none"), 0, 1))
    with pytest.raises(StoreError, match="more than"):
        run(client.fetch_whole(OBJECT, len(BODY) - 1))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, StoreError),
        (401, ForbiddenError),
        (403, ForbiddenError),
        (404, MissingSourceError),
        (408, UpstreamError),
        (409, StoreError),
        (416, StoreError),
        (429, UpstreamError),
        (500, UpstreamError),
        (503, UpstreamError),
        (200, StoreError),
        (301, StoreError),
    ],
)
def test_failure_is_sorted_by_status_not_by_what_the_server_wrote(
    status: int, error: type[Exception]
) -> None:
    # The body and the key name other statuses.
    with (
        failing_server(
            status, "<Error>416 503 returned non-2xx status code: 500</Error>"
        ) as server,
        pytest.raises(error) as caught,
    ):
        run(S3Client(server.url).fetch_range(OBJECT, 0, 10))
    assert type(caught.value) is error
    assert len(server.asked) == 1


@pytest.mark.parametrize("fault", ["reset", "truncated", "stall"])
def test_broken_transfer_may_be_tried_again(fault: str) -> None:
    start = time.monotonic()
    with faulty_server(BODY, fault) as server, pytest.raises(UpstreamError):
        run(S3Client(server.url, stall_timeout=0.3).fetch_range(OBJECT, 0, 1000))
    assert time.monotonic() - start < 60  # the server would stall for two minutes
