"""Places as unit vectors from the middle of a sphere, where there is no seam and no pole."""

import numpy as np

from harmony_vds.model.arrays import Floats


def vectors(longitudes: Floats, latitudes: Floats) -> Floats:
    """Places as unit vectors from the middle of a sphere; shape (…, 3). **Reads:** nothing."""
    east, north = np.radians(longitudes), np.radians(latitudes)
    flat = np.cos(north)
    return np.stack([flat * np.cos(east), flat * np.sin(east), np.sin(north)], axis=-1)


def caps(points: Floats) -> tuple[Floats, Floats]:
    """The cap around each group of unit vectors.

    Parameters
    ----------
    points
        Shape (groups, points, 3); not-a-number where there is no place.

    Returns
    -------
    tuple
        Middles, shape (groups, 3), and how far the points of each lie from it at most, radians,
        shape (groups,); not-a-number for a group without a place.

    **Reads:** nothing.
    """
    known = np.isfinite(points).all(axis=-1)
    sums = np.where(known[..., None], points, 0.0).sum(axis=1)
    lengths = np.linalg.norm(sums, axis=-1)
    known_any = known.any(axis=1)
    spread = lengths < 1e-6  # all around the Earth: any middle does
    middles = np.where(spread[:, None], [0.0, 0.0, 1.0], sums / np.maximum(lengths, 1e-6)[:, None])
    chords = np.linalg.norm(points - middles[:, None, :], axis=-1)
    most = np.where(known, chords, 0.0).max(axis=1)
    angles = angle(most)
    middles[~known_any] = np.nan
    return middles, np.where(known_any, angles, np.nan)


def angle(chords: Floats) -> Floats:
    """The angles, radians, that chords of a unit sphere span. **Reads:** nothing."""
    return np.asarray(2.0 * np.arcsin(np.minimum(chords / 2.0, 1.0)))
