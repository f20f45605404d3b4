"""What ``harmony-vds doctor`` looks at, one function for each; none shows a secret."""

import asyncio
import base64
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from harmony_vds.access.gateway import Access
from harmony_vds.access.keys import KeyRing
from harmony_vds.access.loop import run
from harmony_vds.access.shipped import shipped
from harmony_vds.access.trust import Address
from harmony_vds.discovery.found import FoundStore
from harmony_vds.errors import VdsError
from harmony_vds.model.chunks import ChunkKind
from harmony_vds.settings import Settings
from harmony_vds.stores.open import open_store

_LOOKED_AT = 3
"""Variables of a store of which a chunk is read."""
_RECORD_LIMIT = 2**20


class Verdict(StrEnum):
    """What a finding means."""

    OK = "ok"
    WARNING = "warning"
    """Some requests will fail."""
    FAILED = "failed"
    """Something needed does not work."""


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    """What was looked at."""
    verdict: Verdict
    """How it is."""
    told: str
    """In words, for the operator."""


def settings_by_name(settings: Settings) -> dict[str, str]:
    """Environment variable → value in force; none of them is a secret. **Reads:** nothing."""
    return {
        str(field.validation_alias): _as_text(getattr(settings, name))
        for name, field in Settings.model_fields.items()
    }


def _as_text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def check_token(token: str | None, now: datetime | None = None) -> Finding:
    """Whether there is a token, and how long it lasts. **Reads:** nothing."""
    if not token:
        return Finding(
            "token", Verdict.WARNING,
            "There is none, neither in EARTHDATA_TOKEN nor by .netrc: only public data are read.",
        )  # fmt: skip
    end = token_end(token)
    if end is None:
        return Finding(
            "token", Verdict.WARNING,
            "There is one, but not of Earthdata's usual form; nobody but Earthdata can judge it.",
        )  # fmt: skip
    if end <= (now or datetime.now(UTC)):
        told = f"It ended at {end:%Y-%m-%dT%H:%M:%SZ}. Get a new one from Earthdata Login."
        return Finding("token", Verdict.FAILED, told)
    return Finding("token", Verdict.OK, f"There is one; it ends at {end:%Y-%m-%dT%H:%M:%SZ}.")


def token_end(token: str) -> datetime | None:
    """When a JSON web token ends, UTC; None where that cannot be read. **Reads:** nothing."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return None


def check_cmr(root: str, access: Access) -> Finding:
    """Whether CMR answers this user. **Reads:** metadata."""
    url = f"{root}/search/collections.umm_json?page_size=1"
    try:
        run(access.fetcher.fetch_whole(url, _RECORD_LIMIT))
    except VdsError as error:
        return Finding("cmr", Verdict.FAILED, str(error))
    return Finding("cmr", Verdict.OK, f"{root} answers.")


def check_trust(settings: Settings) -> list[Finding]:
    """What may be read, and whether the operator's own folders are there. **Reads:** nothing."""
    count = len(shipped().prefixes)
    found = [Finding("trust", Verdict.OK, f"{count} prefixes are on the shipped list.")]
    for prefix in settings.trusted_prefixes:
        try:
            address = Address.of(prefix)
        except VdsError as error:
            found.append(Finding("trust", Verdict.FAILED, str(error)))
            continue
        there = address.scheme != "file" or Path(address.path).exists()
        verdict = Verdict.OK if there else Verdict.WARNING
        told = f"The operator trusts {address}" + ("." if there else ", which does not exist.")
        found.append(Finding("trust", verdict, told))
    return found


def check_cache(folder: str) -> Finding:
    """Whether the cache can be used. **Reads:** nothing."""
    if not folder:
        return Finding("cache", Verdict.OK, "None is set: every process reads manifests anew.")
    path = Path(folder)
    if not path.is_dir():
        return Finding("cache", Verdict.WARNING, f"{folder} is not there.")
    try:
        with tempfile.NamedTemporaryFile(dir=path):
            pass
    except OSError as error:
        return Finding("cache", Verdict.WARNING, f"{folder} is read-only: {error.strerror}.")
    return Finding("cache", Verdict.OK, f"{folder} can be written.")


def staging_of_environment() -> str:
    """The staging location that Harmony's environment names; empty if none. **Reads:** nothing."""
    bucket, path = os.environ.get("STAGING_BUCKET", ""), os.environ.get("STAGING_PATH", "")
    return f"s3://{bucket}/{path}".rstrip("/") + "/" if bucket else ""


def check_staging(location: str) -> Finding:
    """Whether outputs can be put under `location`; a small file stays there. **Reads:** nothing."""
    if not location:
        return Finding("staging", Verdict.OK, "None is set: each work item brings its own.")
    from harmony_vds.staging import try_location

    try:
        href = try_location(location)
    except VdsError as error:
        cause = f" {error.__cause__}" if error.__cause__ else ""
        return Finding("staging", Verdict.FAILED, f"{error}{cause}")
    return Finding("staging", Verdict.OK, f"{href} was written.")


def check_endpoints(endpoints: Mapping[str, Verdict], access: Access) -> list[Finding]:
    """Whether each endpoint gives this user S3 credentials.

    Parameters
    ----------
    endpoints
        URL → how bad it is if it does not.
    access
        Way out, with the user's token.

    **Reads:** metadata.
    """
    return run(_all_endpoints(endpoints, access.fetcher.s3.ring))


async def _all_endpoints(endpoints: Mapping[str, Verdict], ring: KeyRing) -> list[Finding]:
    asked = (_endpoint(url, failing, ring) for url, failing in endpoints.items())
    return list(await asyncio.gather(*asked))


async def _endpoint(url: str, failing: Verdict, ring: KeyRing) -> Finding:
    """Whether one endpoint gives S3 credentials; `failing` where it does not."""
    if not ring.serves(url):
        told = f"{url} is not Earthdata's, nor in HARMONY_VDS_TOKEN_HOSTS: it gets no token."
        return Finding("credentials", failing, told)
    try:
        keys = await ring.keys(url)
    except VdsError as error:
        return Finding("credentials", failing, str(error))
    told = f"{url} gave S3 credentials until {keys.expires:%Y-%m-%dT%H:%M:%SZ}."
    return Finding("credentials", Verdict.OK, told)


def shipped_endpoints() -> dict[str, Verdict]:
    """The endpoints of the shipped list; a user need not have access to all. **Reads:** nothing."""
    hosts = sorted(set(shipped().archives.values()))
    return {f"https://{host}/s3credentials": Verdict.WARNING for host in hosts}


def recorded_endpoints(umm: Mapping[str, Any]) -> dict[str, Verdict]:
    """The credentials endpoint that a UMM-C record names, if any. **Reads:** nothing."""
    told = umm.get("DirectDistributionInformation") or {}
    url = str(told.get("S3CredentialsAPIEndpoint") or "").strip()
    return {url: Verdict.FAILED} if url else {}


def check_store(found: FoundStore) -> Iterator[Finding]:
    """Whether a store opens, and a byte of its chunks can be read. **Reads:** chunks, some bytes.

    Of the largest variables, one chunk for each place where chunks lie is touched.
    """
    try:
        store = open_store(found.locations, found.access)
    except VdsError as error:
        yield Finding("store", Verdict.FAILED, str(error))
        return
    arrays = {
        f"{node.path.rstrip('/')}/{name}": variable.size
        for node in store.tree.subtree
        for name, variable in node.to_dataset(inherit=False).variables.items()
    }
    yield Finding("store", Verdict.OK, f"{store.location} opens; {len(arrays)} variables.")
    tried: set[tuple[str, str]] = set()
    for path in sorted(arrays, key=lambda own: -arrays[own])[:_LOOKED_AT]:
        index = store.chunk_index(path)
        for number in index.sources[index.kinds == ChunkKind.VIRTUAL][:1]:
            url = index.locations[number]
            start = int(index.offsets[index.sources == number][0])
            place = url.partition("://")[0], url.partition("://")[2].partition("/")[0]
            if place not in tried:
                tried.add(place)
                yield _read_byte(path, url, start, found.access)


def _read_byte(path: str, url: str, start: int, access: Access) -> Finding:
    fetcher = access.fetcher
    try:
        run(fetcher.fetch_range(url, start, 1))
        address = fetcher.trust.check(url)
    except VdsError as error:
        return Finding("chunks", Verdict.FAILED, f"{path}: {error}")
    way = fetcher.s3.found(address, fetcher.buckets) if address.scheme == "s3" else None
    told = f"A chunk of {path} in {address.scheme}://{address.host} is read"
    return Finding("chunks", Verdict.OK, f"{told} {way}." if way else f"{told}.")
