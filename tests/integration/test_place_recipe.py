"""The recipe in an output of series at places is run, and gives what the output holds."""

import netCDF4
import numpy as np
import pytest
from gridded import store_of
from recipes import assert_told, output_of

from harmony_vds.model.grid import GridKind

PLACES = ["--point", "10.5,-20,buoy", "--point", "33.1,4.4", "--point", "179.9,-40.9"]
DESCRIBED = ("requested_longitude", "requested_latitude", "distance")
TIMES = """name,longitude,latitude,time
mooring,10.5,-20,2024-01-03T00:00:00Z
ship,40,-30,2024-01-05T09:00:00Z
"""


@pytest.mark.parametrize("method", ["near", "bilinear"])
def test_series_of_a_recipe_are_those_of_the_output(method, store, days, tmp_path):
    options = [*PLACES, "--interpolation", method, "--temporal", "2024-01-03T00:00:00Z", ".."]
    path = output_of(store, tmp_path, *options, "--trust", str(days[0].parent))
    # Between cells in single precision, whose last digit may differ.
    made = assert_told(path, rtol=0 if method == "near" else 2e-7, beside=DESCRIBED)
    assert made.analysed_sst.dims == ("station", "time")
    assert made.station_name.values.tolist() == ["buoy", "place 2", "place 3"]
    assert np.unique(made.analysed_sst).size > 6


@pytest.mark.parametrize("method", ["near", "bilinear"])
def test_values_at_places_with_times_of_a_recipe_are_those_of_the_output(
    method, store, days, tmp_path
):
    (tmp_path / "places.csv").write_text(TIMES)
    options = ["--points", str(tmp_path / "places.csv"), "--interpolation", method]
    path = output_of(store, tmp_path, *options, "--trust", str(days[0].parent))
    beside = (*DESCRIBED, "requested_time")
    assert assert_told(path, rtol=2e-7, beside=beside).analysed_sst.dims == ("observation",)


@pytest.mark.parametrize("kind", [GridKind.PROJECTED, GridKind.CURVILINEAR, GridKind.TRACK])
def test_recipe_takes_cells_of_other_kinds_of_grids(kind, tmp_path):
    place = store_of(tmp_path, kind)
    path = output_of(place, tmp_path / "out", "--point", "-52.1,72.1", "--variable", "field")
    more = ("station_longitude", "station_latitude") if kind is GridKind.PROJECTED else ()
    made = assert_told(path, beside=(*DESCRIBED, *more))
    assert made.field.size == 1


def test_recipe_of_very_many_places_says_how_many_there_are(store, days, tmp_path):
    rows = [f"{n % 60},{n // 60}" for n in range(101)]
    (tmp_path / "places.csv").write_text("\n".join(["longitude,latitude", *rows]))
    options = ["--points", str(tmp_path / "places.csv"), "--trust", str(days[0].parent)]
    with netCDF4.Dataset(output_of(store, tmp_path, *options)) as nc:
        assert nc.virtual_store_recipe.endswith(
            "# The output then takes the cells at 101 places, too many to list.\n"
            "# harmony-vds rerun FILE makes the output again."
        )
