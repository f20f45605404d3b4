"""Where a store is written: a folder or a bucket, and from where its references may be read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import icechunk

from harmony_vds.errors import RequestError


@dataclass(frozen=True)
class Place:
    """A folder, or a prefix of a bucket that the environment's AWS credentials may write to."""

    href: str
    """``file:///…`` or ``s3://bucket/prefix``."""
    endpoint: str = ""
    """URL of an S3-compatible server; empty for AWS."""
    region: str = "us-west-2"
    """AWS region of the bucket."""

    @classmethod
    def of(cls, text: str, endpoint: str = "", region: str = "us-west-2") -> "Place":
        """The place that a person names by path or URL. **Reads:** nothing.

        Raises
        ------
        RequestError
            It is neither a path nor an s3 URL.
        """
        if text.startswith(("s3://", "file://")):
            return cls(text.rstrip("/"), endpoint, region)
        if "://" in text:
            raise RequestError(f"Stores are written to folders and s3:// URLs, not to {text}.")
        return cls(Path(text).resolve().as_uri(), endpoint, region)

    @property
    def folder(self) -> Path | None:
        """The folder; None for a bucket. **Reads:** nothing."""
        parts = urlsplit(self.href)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    def storage(self) -> icechunk.Storage:
        """What icechunk writes to. **Reads:** nothing."""
        icechunk.set_logs_filter("error")
        folder = self.folder
        if folder is not None:
            return icechunk.local_filesystem_storage(str(folder))
        parts = urlsplit(self.href)
        return icechunk.s3_storage(
            bucket=parts.netloc, prefix=parts.path.strip("/"), region=self.region, from_env=True,
            endpoint_url=self.endpoint or None, allow_http=self.endpoint.startswith("http:"),
            force_path_style=bool(self.endpoint),
        )  # fmt: skip

    def refuse_taken(self) -> None:
        """Raise where something is there already. **Reads:** metadata."""
        folder = self.folder
        if folder is not None:
            taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
        else:
            taken = icechunk.Repository.exists(self.storage())
        if taken:
            raise RequestError(
                f"{self.href} exists and is not empty; choose another place for the store, or "
                "bring what is there up to date with --update."
            )


def containers(urls: Iterable[str]) -> tuple[str, ...]:
    """The URL prefixes, each ending with a slash, that hold all of `urls`.

    One for each bucket and host, and one folder for all local files. **Reads:** nothing.
    """
    places = set()
    folders: list[Sequence[str]] = []
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme == "file":
            folders.append(parts.path.split("/")[:-1])
        elif parts.scheme in ("s3", "http", "https"):
            places.add(f"{parts.scheme}://{parts.netloc}/")
        else:
            raise RequestError(
                f"References cannot lead to {url!r}: it is no file, s3 or https URL."
            )
    if folders:
        common = list(folders[0])
        for own in folders[1:]:
            while list(own[: len(common)]) != common:
                common.pop()
        places.add(f"file://{'/'.join(common)}/")
    return tuple(sorted(places))


def configuration(prefixes: Iterable[str]) -> icechunk.RepositoryConfig:
    """The settings of a repository whose references lead below `prefixes`.

    **Reads:** nothing.
    """
    config = icechunk.RepositoryConfig.default()
    for prefix in prefixes:
        scheme = urlsplit(prefix).scheme
        place: Any = icechunk.http_store()
        if scheme == "file":
            place = icechunk.local_filesystem_store(unquote(urlsplit(prefix).path))
        elif scheme == "s3":
            place = icechunk.s3_store(region="us-west-2")
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, place))
    return config
