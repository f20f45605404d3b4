"""How the chunks of a store are read, as its operator chose."""

from dataclasses import dataclass

from harmony_vds.stores.cache import ManifestCache


@dataclass(frozen=True)
class Reading:
    """How the chunks of a store are read."""

    planned: bool = True
    """By merged ranges; otherwise, and for codecs the planned reader does not know, by zarr."""
    gap: int = 4096
    """Most unwanted bytes between two chunks that are fetched together."""
    refuse_stale_references: bool = False
    """Whether a source newer than a reference file is an error, or a warning."""
    cache: ManifestCache | None = None
    """Where manifests are kept between requests."""


DEFAULT_READING = Reading()
