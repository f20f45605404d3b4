"""The S3 prefix that outputs are put under: complete objects, told apart by what they hold.

A work item that failed is run again under the same prefix, perhaps while its first run still goes
on. So objects appear whole or not at all, carry the fingerprint of their plan, and are taken as
they are where that is the one wanted; what a run left unfinished is cleared away by a later one.
"""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from harmony_service_lib.aws import aws_parameters

logger = logging.getLogger(__name__)

_UPLOADS = 8
_ROOTS = ("zarr.json", "repo")
"""The documents without which nothing opens a Zarr store, or an icechunk repository."""
_FINGERPRINT, _CHECKSUM = "virtual-store-fingerprint", "sha256"


@dataclass(frozen=True)
class StagedObject:
    """An object that an earlier run has completed."""

    href: str
    """Its ``s3://`` URL."""
    nbytes: int
    """Its size."""
    checksum: str
    """SHA-256 of its bytes, hexadecimal."""
    media_type: str
    """MIME type."""


@dataclass(frozen=True)
class StagingBucket:
    """A prefix of a bucket, written with the service's own role."""

    client: Any
    """Of boto3."""
    name: str
    """The bucket."""
    prefix: str
    """Ends in a slash."""

    @classmethod
    def of(cls, location: str, config: Any) -> Self:
        """The prefix at an ``s3://`` URL, with the settings of Harmony's library.

        **Reads:** nothing.
        """
        parameters = aws_parameters(
            config.use_localstack, config.localstack_host, config.aws_default_region
        )
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        return cls(boto3.client("s3", **parameters), bucket, f"{prefix.rstrip('/')}/")

    def put(self, path: Path, name: str, media_type: str, checksum: str, fingerprint: str) -> str:
        """Upload a file, or a folder that holds a store; gives its URL.

        The root document of a store, without which none opens, goes last. **Reads:** nothing.
        """
        told = {_CHECKSUM: checksum, _FINGERPRINT: fingerprint} if fingerprint else {}
        if not path.is_dir():
            return self._put_file(path, name, media_type, told)
        files = [own.relative_to(path).as_posix() for own in path.rglob("*") if own.is_file()]

        root = next(own for own in _ROOTS if own in files)

        def put(own: str) -> str:
            kind = "application/json" if own.endswith(".json") else "application/octet-stream"
            return self._put_file(path / own, f"{name}/{own}", kind, {})

        with ThreadPoolExecutor(_UPLOADS, thread_name_prefix="harmony-vds-stage") as pool:
            for _ in pool.map(put, sorted(set(files) - {root})):
                pass
        return put(root).removesuffix(f"/{root}")

    def _put_file(self, path: Path, name: str, media_type: str, told: Mapping[str, str]) -> str:
        key = f"{self.prefix}{name}"
        extra = {"ContentType": media_type, "Metadata": dict(told)}
        self.client.upload_file(str(path), self.name, key, ExtraArgs=extra)
        return f"s3://{self.name}/{key}"

    def find(self, name: str, fingerprint: str) -> StagedObject | None:
        """The object that holds what a plan with `fingerprint` writes, if there is one.

        **Reads:** nothing of any archive.
        """
        key = f"{self.prefix}{name}"
        try:
            head = self.client.head_object(Bucket=self.name, Key=key)
        except (ClientError, BotoCoreError):
            return None
        told = head.get("Metadata", {})
        if told.get(_FINGERPRINT) != fingerprint or not told.get(_CHECKSUM):
            return None
        return StagedObject(
            f"s3://{self.name}/{key}", head["ContentLength"], told[_CHECKSUM], head["ContentType"]
        )

    def clear_unfinished(self, older_than: float) -> int:
        """Give up uploads below the prefix that no run can still be busy with; counts them.

        Parameters
        ----------
        older_than
            Seconds that a run lives at most: a younger upload may be another run's.

        **Reads:** nothing of any archive.
        """
        before, cleared = datetime.now(UTC) - timedelta(seconds=older_than), 0
        try:
            pages = self.client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.name, Prefix=self.prefix
            )
            for upload in (own for page in pages for own in page.get("Uploads", [])):
                if upload["Initiated"] < before:
                    self.client.abort_multipart_upload(
                        Bucket=self.name, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
                    cleared += 1
        except (ClientError, BotoCoreError) as error:  # tidying that the role may not do
            logger.info("Unfinished uploads are left as they are (%s)", type(error).__name__)
        return cleared
