"""Reference systems as recipes name them."""


def named(crs: str) -> str:
    """A reference system by its short name, if that means the same. **Reads:** nothing."""
    from pyproj import CRS

    own = CRS.from_user_input(crs)
    told = own.to_authority(min_confidence=100)
    if told is not None and CRS.from_authority(*told) == own:
        return ":".join(told)
    return own.to_wkt()


def height_of(crs: str) -> float | None:
    """Metres of a geostationary satellite above the Earth; None of other systems.

    **Reads:** nothing.
    """
    from pyproj import CRS

    found = CRS.from_user_input(crs).to_cf().get("perspective_point_height")
    return None if found is None else float(found)
