"""Reads what users uploaded to Harmony, as Harmony's library does: with the service's own role."""

import io
from collections.abc import Buffer, Callable
from functools import partial
from typing import Any

from harmony_service_lib import aws

from harmony_vds.bucket import TROUBLE
from harmony_vds.errors import RequestError, UpstreamError


class _Bounded(io.BytesIO):
    """Bytes in memory, up to a limit."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: Buffer, /) -> int:
        """As a file's; `RequestError` beyond the limit."""
        if self.tell() + memoryview(data).nbytes > self._limit:
            raise RequestError(
                f"The shape has more than {self._limit:,} bytes (HARMONY_VDS_MAX_SHAPE_BYTES). "
                "Simplify it to what the cells of the data show."
            )
        return super().write(data)


def upload_reader(config: Any) -> Callable[[str, int], bytes]:
    """What reads an ``s3`` URL, at most so many bytes; the caller vouches for the address.

    Parameters
    ----------
    config
        Of Harmony's library: the AWS region, or the stand-in for AWS.

    **Reads:** nothing; metadata when it is called.
    """
    return partial(_read, config)


def _read(config: Any, url: str, limit: int) -> bytes:
    received = _Bounded(limit)
    try:
        aws.download(config, url, received)
    except TROUBLE as error:
        raise _failure(error) from error
    return received.getvalue()


def _failure(error: Exception) -> Exception:
    told = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    if told in ("404", "NoSuchKey", "NoSuchBucket"):
        return RequestError(
            "The uploaded shape is gone (Harmony keeps it for a while); send it again."
        )
    return UpstreamError(f"The uploaded shape cannot be read ({told or type(error).__name__}).")
