"""Fetches the GeoJSON document that a request names, from where such documents may be."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.gateway import Access
from harmony_vds.access.loop import run
from harmony_vds.access.trust import Address
from harmony_vds.errors import (
    MissingSourceError,
    RequestError,
    SettingsError,
    StoreError,
    UntrustedError,
)
from harmony_vds.model.shape import Shape
from harmony_vds.settings import Settings

type ReadUpload = Callable[[str, int], bytes]
"""The object at an ``s3`` URL, at most so many bytes, by the service's own role."""

_HANDED_OVER = Address("file", "", "/tmp/shapefile.json")  # noqa: S108  Harmony's, not ours
"""Where Harmony's runner puts the shape of an EDR request."""


@dataclass(frozen=True)
class ShapeReader:
    """Reads shapes within an operator's limits."""

    access: Access
    """Way to what is trusted."""
    prefixes: tuple[Address, ...]
    """Where users' uploads are."""
    max_bytes: int
    """Most bytes of a document."""
    max_vertices: int
    """Most positions in it."""
    read_upload: ReadUpload | None = None
    """Reads uploads; None where nobody can have uploaded any, as on the command line."""

    @classmethod
    def of(
        cls, settings: Settings, access: Access, read_upload: ReadUpload | None
    ) -> "ShapeReader":
        """A reader by an operator's settings. **Reads:** nothing.

        Raises
        ------
        SettingsError
            A prefix is no ``s3`` URL.
        """
        try:
            prefixes = [Address.of(own) for own in settings.upload_prefixes]
        except UntrustedError as error:
            raise SettingsError(f"HARMONY_VDS_SHAPE_PREFIXES is not usable: {error}") from None
        if any(own.scheme != "s3" for own in prefixes):
            raise SettingsError("HARMONY_VDS_SHAPE_PREFIXES is not usable: not all are s3://.")
        most = (settings.max_shape_bytes, settings.max_shape_vertices)
        return cls(access, tuple(prefixes), *most, read_upload)

    def read(self, asked: str) -> Shape:
        """The shape at the address `asked`, or that is `asked` itself.

        Raises
        ------
        RequestError
            It is no shape, or too large; the text says why, and where.
        UntrustedError
            It lies where shapes are not read from.
        ForbiddenError, UpstreamError
            It cannot be fetched.

        **Reads:** metadata.
        """
        from harmony_vds.shapes.geojson import parse_shape

        document = asked.encode() if asked.lstrip().startswith("{") else self._fetched(asked)
        if len(document) > self.max_bytes:
            raise RequestError(
                f"The shape has {len(document):,} bytes; at most {self.max_bytes:,} are read "
                "(HARMONY_VDS_MAX_SHAPE_BYTES). Simplify it to what the cells of the data show."
            )
        return parse_shape(document, self.max_vertices)

    def _fetched(self, url: str) -> bytes:
        address = Address.of(url)
        if self.read_upload is not None and any(address.within(own) for own in self.prefixes):
            return self.read_upload(url, self.max_bytes)
        trust = self.access.fetcher.trust
        if address.scheme == "s3" and not trust.is_operators(address):
            raise UntrustedError(
                f"The shape {address} is not read: uploads lie elsewhere, and neither "
                "HARMONY_VDS_SHAPE_PREFIXES nor HARMONY_VDS_TRUSTED_PREFIXES names a prefix of it."
            )
        fetcher = self.access.fetcher
        if address == _HANDED_OVER:
            fetcher = replace(fetcher, trust=replace(trust, operator=(*trust.operator, address)))
        return _whole(url, fetcher, self.max_bytes)


def _whole(url: str, fetcher: Fetcher, limit: int) -> bytes:
    try:
        return run(fetcher.fetch_whole(url, limit)).body
    except MissingSourceError as error:
        raise RequestError(f"The shape is gone: {error} Send it again.") from None
    except UntrustedError as error:
        raise UntrustedError(f"The shape: {error}") from None
    except StoreError as error:
        raise RequestError(
            f"The shape cannot be read: {error} (At most {limit:,} bytes are, by "
            "HARMONY_VDS_MAX_SHAPE_BYTES.)"
        ) from None
