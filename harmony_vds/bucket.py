"""The S3 prefix that outputs are put under: complete objects, told apart by what they hold.

A work item that failed is run again under the same prefix, perhaps while its first run still goes
on. So objects appear whole or not at all, carry the fingerprint of their plan, and are taken as
they are where that is the one wanted; what a run left unfinished is cleared away by a later one.
"""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import boto3
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from harmony_service_lib.aws import aws_parameters
from s3transfer.exceptions import RetriesExceededError

from harmony_vds.stopping import undone_if_stopped

logger = logging.getLogger(__name__)

FINGERPRINT, CHECKSUM = "virtual-store-fingerprint", "sha256"
"""What objects tell of themselves: the plan they come from, SHA-256 of their bytes."""
_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_MOST_DELETED = 1000
"""Objects that S3 deletes by one request."""


TROUBLE = (BotoCoreError, ClientError, Boto3Error, RetriesExceededError, OSError)
"""What boto3 raises where a bucket refuses, lacks something or is out of reach: these have no
ancestor of their own. Anything else is a defect of this service, and is told as one."""


class TakenError(Exception):
    """An object is not as it was when it was last looked at: another run has put it there."""


@dataclass(frozen=True)
class Held:
    """An object as the bucket holds it."""

    etag: str
    """Of the state it is in."""
    nbytes: int
    """Its size."""
    told: Mapping[str, str]
    """What whoever put it there told of it."""
    media_type: str = ""
    """MIME type."""

    @property
    def checksum(self) -> str:
        """SHA-256 of its bytes, hexadecimal; empty where it tells none. **Reads:** nothing."""
        return self.told.get(CHECKSUM, "")

    @property
    def fingerprint(self) -> str:
        """Of the plan it comes from; empty where it tells none. **Reads:** nothing."""
        return self.told.get(FINGERPRINT, "")


@dataclass(frozen=True)
class StagedObject:
    """An object, or a folder of them, that is complete."""

    href: str
    """Its ``s3://`` URL."""
    nbytes: int
    """Its size."""
    checksum: str
    """SHA-256 as `Output.checksum` says."""
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

    def put(
        self, path: Path, name: str, media_type: str, checksum: str, fingerprint: str
    ) -> StagedObject:
        """Upload a file, unless the same one is there. **Reads:** nothing."""
        href, told = self.href(name), {CHECKSUM: checksum, FINGERPRINT: fingerprint}
        there = self.find(name, fingerprint) if fingerprint else None
        if there is None or there.checksum != checksum:
            extra = {"ContentType": media_type, "Metadata": told if fingerprint else {}}
            self._upload(path, f"{self.prefix}{name}", extra)
        return StagedObject(href, path.stat().st_size, checksum, media_type)

    def _upload(self, path: Path, key: str, extra: Mapping[str, Any]) -> None:
        """Upload a file; an upload in parts is given up where the process is stopped meanwhile."""
        begun: list[str] = []
        events, beginning = self.client.meta.events, "after-call.s3.CreateMultipartUpload"

        def note(parsed: Mapping[str, Any], **_: Any) -> None:
            if "UploadId" in parsed:
                begun.append(parsed["UploadId"])

        def give_up() -> None:
            for number in begun:
                with suppress(ClientError):  # it is complete, or given up
                    self.client.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=number)

        events.register(beginning, note)
        try:
            with undone_if_stopped(give_up):
                self.client.upload_file(str(path), self.name, key, ExtraArgs=extra)
        finally:
            events.unregister(beginning, note)

    def href(self, name: str) -> str:
        """The ``s3://`` URL of what is called `name`. **Reads:** nothing."""
        return f"s3://{self.name}/{self.prefix}{name}"

    def find(self, name: str, fingerprint: str) -> StagedObject | None:
        """The object that holds what a plan with `fingerprint` writes, if there is one.

        **Reads:** nothing of any archive.
        """
        held = self.head(name)
        if held is None or held.fingerprint != fingerprint or not held.checksum:
            return None
        return StagedObject(self.href(name), held.nbytes, held.checksum, held.media_type)

    def head(self, name: str) -> Held | None:
        """An object as it is; None where there is none that can be looked at.

        **Reads:** nothing of any archive.
        """
        try:
            head = self.client.head_object(Bucket=self.name, Key=f"{self.prefix}{name}")
        except (ClientError, BotoCoreError):
            return None
        told = head.get("Metadata", {})
        return Held(head["ETag"], head["ContentLength"], told, head["ContentType"])

    def replace(
        self, body: Path | bytes, name: str, told: Mapping[str, str], former: str | None
    ) -> Held:
        """Put an object in the place of `former`, its ETag, or of nothing where that is None.

        Raises
        ------
        TakenError
            Something else is there by now.

        **Reads:** nothing.
        """
        kind = "application/json" if name.endswith(".json") else "application/octet-stream"
        only = {"IfNoneMatch": "*"} if former is None else {"IfMatch": former}
        content = body if isinstance(body, bytes) else body.open("rb")
        size = len(body) if isinstance(body, bytes) else body.stat().st_size
        try:
            put = self.client.put_object(
                Bucket=self.name, Key=f"{self.prefix}{name}", Body=content, ContentType=kind,
                Metadata=dict(told), **only,
            )  # fmt: skip
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _TAKEN:
                raise TakenError(name) from None
            raise
        finally:
            if not isinstance(content, bytes):
                content.close()
        return Held(put["ETag"], size, told, kind)

    def get(self, name: str) -> bytes | None:
        """The bytes of an object; None where there is none that can be read.

        **Reads:** nothing of any archive.
        """
        try:
            found = self.client.get_object(Bucket=self.name, Key=f"{self.prefix}{name}")
            return bytes(found["Body"].read())
        except (ClientError, BotoCoreError):
            return None

    def names(self, beginning: str) -> dict[str, str] | None:
        """Name → ETag of all objects whose names begin so; None where the role may not list them.

        **Reads:** nothing of any archive.
        """
        try:
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=f"{self.prefix}{beginning}"
            )
            return {
                own["Key"].removeprefix(self.prefix): own["ETag"]
                for page in pages for own in page.get("Contents", [])
            }  # fmt: skip
        except (ClientError, BotoCoreError) as error:
            logger.info("Outputs of earlier runs cannot be listed (%s)", type(error).__name__)
            return None

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects, where the role may do so. **Reads:** nothing."""
        keys = [{"Key": f"{self.prefix}{name}"} for name in names]
        try:
            for start in range(0, len(keys), _MOST_DELETED):
                told = {"Objects": keys[start : start + _MOST_DELETED], "Quiet": True}
                self.client.delete_objects(Bucket=self.name, Delete=told)
        except (ClientError, BotoCoreError) as error:
            logger.info("Unneeded objects are left as they are (%s)", type(error).__name__)

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
