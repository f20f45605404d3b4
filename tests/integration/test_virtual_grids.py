"""Virtual subsets of grids whose rows and columns are no latitudes and longitudes."""

import numpy as np
import pytest
import xarray as xr
from gridded import CHUNK, places_of, write_grid
from world import kerchunk_references, write_references

from harmony_vds.access.credentials import Credentials
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.formats import KERCHUNK
from harmony_vds.model.grid import GridKind
from harmony_vds.model.request import Request, Source
from harmony_vds.pipeline import fulfil, prepare
from harmony_vds.services import Services
from harmony_vds.settings import Settings


@pytest.mark.parametrize("kind", [GridKind.PROJECTED, GridKind.CURVILINEAR, GridKind.TRACK])
def test_box_points_to_the_chunks_around_its_cells_on(kind, tmp_path):
    packed = write_grid(tmp_path / "granule.nc", kind)
    references = kerchunk_references([tmp_path / "granule.nc"], inline=0)
    place = write_references(tmp_path / "store.json", references)
    box = BoundingBox(-60, 64, -50, 71)
    request = Request((Source("C1", "D", variables=("field",)),), media_type=KERCHUNK, bbox=box)
    trusted = (place.as_uri(), f"{tmp_path.as_uri()}/")
    with Services.of(Settings(trusted_prefixes=trusted), Credentials.of_token(None)) as using:
        prepared = prepare(request, using, place.as_uri())
        (output,) = fulfil(prepared, tmp_path / "out", using)

    longitudes, latitudes = places_of(kind)
    inside = (longitudes >= -60) & (longitudes <= -50) & (latitudes >= 64) & (latitudes <= 71)
    window = tuple(
        slice(own.min() // CHUNK * CHUNK, -(-(own.max() + 1) // CHUNK) * CHUNK)
        for own in np.nonzero(inside)
    )
    assert packed[window].size < packed.size
    with xr.open_dataset(
        output.path, engine="vds", trust=str(tmp_path), mask_and_scale=False
    ) as opened:
        np.testing.assert_array_equal(opened["field"].values, packed[window])
    (grid,) = prepared[0].plan.grids
    west, south, east, north = grid.bbox.west, grid.bbox.south, grid.bbox.east, grid.bbox.north
    assert (grid.kind, west < east) == (kind, True)
    assert 0 <= longitudes[window].min() - west < 1.5
    assert 0 <= east - longitudes[window].max() < 1.5
    assert 0 <= latitudes[window].min() - south < 1
    assert 0 <= north - latitudes[window].max() < 1
