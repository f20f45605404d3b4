"""What the operator says of collections, before any record is asked.

A TOML file, each table of which is named after a concept id or a short name::

    ["C1234567890-PROVIDER"]
    deny = "The publisher is rebuilding the store until March."

    [RASI]
    region = "us-west-2"
    credentials_endpoint = "https://data.example.nasa.gov/s3credentials"
    stores = [
      { url = "s3://bucket/RASI/HISTORICAL", name = "HISTORICAL", kind = "icechunk" },
      { url = "s3://bucket/RASI/SSP245", name = "SSP245", version = "tag.v1", group = "monthly" },
    ]

Stores of different names are different data and each give an output; a request picks some by
writing the name before its variables, as ``SSP245/precipitation``. Several addresses of one name,
or without any, are one store, and the first that opens is used.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import msgspec

from harmony_vds.discovery.candidates import Candidate
from harmony_vds.discovery.urls import StoreUrl
from harmony_vds.errors import NoStoreError, SettingsError
from harmony_vds.model.request import Source
from harmony_vds.model.store import ManifestFormat

_SETTING = "HARMONY_VDS_COLLECTIONS_FILE"


class _Store(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    name: str = ""
    kind: str = ""
    group: str = ""
    version: str | None = None
    region: str | None = None
    credentials_endpoint: str | None = None


class _Collection(msgspec.Struct, forbid_unknown_fields=True):
    stores: list[_Store] = []
    deny: str = ""
    region: str | None = None
    credentials_endpoint: str | None = None


@dataclass(frozen=True)
class Override:
    """What the operator says of one collection."""

    candidates: tuple[Candidate, ...] = ()
    """Its stores; none where it is denied."""
    deny: str = ""
    """Why no request for it is answered; empty where requests are."""


@dataclass(frozen=True)
class Overrides:
    """What the operator says of collections, by concept id or short name."""

    collections: Mapping[str, Override] = field(default_factory=dict)
    """The tables of the file."""

    @classmethod
    def of_file(cls, path: str) -> Self:
        """The overrides in the file at `path`; none for an empty path.

        Raises
        ------
        SettingsError
            The file cannot be read, or holds something unusable; the text says what.

        **Reads:** nothing, but the operator's file.
        """
        if not path:
            return cls()
        try:
            told = tomllib.loads(Path(path).read_text("utf-8"))
            tables = msgspec.convert(told, dict[str, _Collection])
            return cls({key: _override(key, own) for key, own in tables.items()})
        except (OSError, ValueError, NoStoreError) as error:  # malformed TOML and values, too
            raise SettingsError(f"{_SETTING} is not usable: {error}") from None

    def of(self, source: Source) -> Override | None:
        """What is said of `source`; its concept id goes before its short name.

        **Reads:** nothing.
        """
        found = self.collections.get(source.collection) if source.collection else None
        return found or self.collections.get(source.short_name)


def by_label(labels: Sequence[str], variables: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The `variables` asked of each named store; ``NAME/variable`` asks one of NAME alone.

    **Reads:** nothing.
    """
    asked = {label: list[str]() for label in labels}
    everywhere = []
    for variable in variables:
        label, _, rest = variable.lstrip("/").partition("/")
        if label and label in asked and rest:
            asked[label].append(rest)
        else:
            everywhere.append(variable)
    if not any(asked.values()):
        return dict.fromkeys(labels, tuple(everywhere))
    return {label: (*everywhere, *own) for label, own in asked.items() if own}


def _override(key: str, told: _Collection) -> Override:
    if bool(told.stores) == bool(told.deny):
        raise SettingsError(f"{_SETTING} is not usable: [{key}] should have either stores or deny.")
    return Override(tuple(_candidate(key, own, told) for own in told.stores), told.deny)


def _candidate(key: str, own: _Store, told: _Collection) -> Candidate:
    """A store of the table; what it leaves out is that of its collection, or of its address."""
    url = StoreUrl.of(own.url)
    forms = [str(form) for form in ManifestFormat if form.is_published]
    if own.kind and own.kind not in forms:
        raise SettingsError(
            f"{_SETTING} is not usable: [{key}] names the kind {own.kind!r}, which is none of "
            f"{', '.join(forms)}."
        )
    return Candidate(
        url=replace(
            url, kind=own.kind or url.kind, version=own.version or url.version,
            group=own.group.strip("/") or url.group,
        ),
        found_in=f"{_SETTING} [{key}]",
        region=own.region or told.region or url.region,
        credentials_endpoint=own.credentials_endpoint or told.credentials_endpoint,
        label=own.name,
    )  # fmt: skip
