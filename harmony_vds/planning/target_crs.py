"""The reference system of a target grid, from the words of a request."""

from typing import TYPE_CHECKING

from harmony_vds.errors import RequestError

if TYPE_CHECKING:
    from pyproj import CRS

_LONGEST = 20_000
_SHOWN = 80


def target_crs(text: str) -> "CRS":
    """The projected or geographic system that `text` means: EPSG code, WKT or Proj4 string.

    Compound and three-dimensional systems are taken without their heights.

    Raises
    ------
    RequestError
        It means none, or none in which a map can be drawn; the text names it.

    **Reads:** nothing.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    shown = f"outputCrs {' '.join(text.split())[:_SHOWN]!r}"
    # PROJ would look for files of such names.
    if len(text) > _LONGEST or "+init" in text or "\x00" in text:
        raise RequestError(f"{shown} is no coordinate reference system that this service takes.")
    name = {"CRS:84": "OGC:CRS84", "CRS84": "OGC:CRS84"}.get(text.strip().upper(), text.strip())
    try:
        crs = CRS.from_user_input(int(name) if name.isdecimal() else name)
        if crs.is_compound:
            crs = crs.sub_crs_list[0]
        crs = crs.to_2d() if len(crs.axis_info) > 2 else crs
    except (CRSError, ValueError, OverflowError):
        raise RequestError(
            f"{shown} is no known coordinate reference system. Give an EPSG code such as "
            "EPSG:4326, a WKT or a Proj4 string."
        ) from None
    own = crs.source_crs if crs.is_bound and crs.source_crs is not None else crs
    if not (own.is_projected or own.is_geographic or own.is_derived):
        raise RequestError(
            f"{shown} is a {crs.type_name}, in which no map can be drawn; ask for a projected or "
            "geographic system."
        )
    units = {axis.unit_name for axis in own.axis_info}
    if own.is_geographic and units - {"degree"}:
        raise RequestError(
            f"{shown} counts in {', '.join(sorted(units))}; of geographic systems those in degrees "
            "are taken."
        )
    return crs


def is_north_first(crs: "CRS") -> bool:
    """Whether the authority's first axis runs north, as in EPSG:4326. **Reads:** nothing."""
    own = crs.source_crs if crs.is_bound and crs.source_crs is not None else crs
    return bool(own.axis_info) and own.axis_info[0].direction.lower() == "north"
