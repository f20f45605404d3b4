"""Places with times of their own: one row each, of the step of its time, against the granules."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from systems.kits import raw, request
from systems.test_points import brute_force, series
from systems.test_price import assert_price_is_what_was_asked, watch
from world import write_days

from harmony_vds.cli.places import places_in
from harmony_vds.errors import NoDataError, RequestError, UnsupportedError
from harmony_vds.model.places import Place

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
"""Of the first of five days."""


def at(hours: float, longitude: float, latitude: float, name: str = "") -> Place:
    return Place(longitude, latitude, name, NOON + timedelta(hours=hours))


CRUISE = (
    at(0, 10.5, -20.2, "a"), at(11, 12.5, -21.0, "b"), at(13, 16.1, -22.0, "c"),
    at(96.5, 178.9, 12.0, "d"), at(40, -178.9, 12.0, "e"), at(49, 12.5, -21.0, "b again"),
)  # fmt: skip
STEPS = (0, 0, 1, 4, 2, 2)


@pytest.mark.parametrize("form", ["icechunk", "kerchunk"])
def test_each_place_has_the_value_of_the_nearest_cell_and_step(form: str, tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 5)
    answer = series(files, tmp_path, form, points=CRUISE)
    near = brute_force(files[0], CRUISE)
    expected = [
        raw(files[step], "analysed_sst")[0, row, column]
        for step, (row, column, _) in zip(STEPS, near, strict=True)
    ]
    np.testing.assert_array_equal(answer.read("analysed_sst"), expected)
    times = [raw(files[step], "time")[0] for step in STEPS]
    np.testing.assert_array_equal(answer.read("time"), times)
    with netCDF4.Dataset(answer.path) as nc:
        own = nc["analysed_sst"]
        assert nc.featureType == "point"
        assert own.dimensions == nc["time"].dimensions == nc["lat"].dimensions == ("observation",)
        assert {"time", "lat", "lon"} <= {*own.coordinates.split()}
        assert not hasattr(nc["station_name"], "cf_role")
        asked = netCDF4.num2date(nc["requested_time"][:], nc["requested_time"].units)
        assert [own.isoformat() for own in asked] == [
            p.time.replace(tzinfo=None).isoformat() for p in CRUISE if p.time
        ]


def test_price_of_places_with_times_is_what_the_archive_is_asked_for(
    reader: str, tmp_path: Path
) -> None:
    files = write_days(tmp_path / "granules", 5)
    wanted = replace(request(("analysed_sst",)), points=CRUISE)
    seen = watch(wanted, "kerchunk", files, tmp_path)
    assert_price_is_what_was_asked(seen)
    asked = {path for path, _, _ in seen.during}
    assert asked == {f"/{files[step].name}" for step in STEPS}  # the fourth day is not read


def test_table_of_places_with_times_has_one_row_each_in_their_order(tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 5)
    answer = series(files, tmp_path, points=CRUISE, media_type="text/csv")
    lines = [own for own in answer.path.read_text().splitlines() if not own.startswith("#")]
    header = lines[0].split(",")
    rows = [dict(zip(header, own.split(","), strict=True)) for own in lines[1:]]
    assert [own["station"] for own in rows] == [own.name for own in CRUISE]
    days = [(NOON + timedelta(days=step)).strftime("%Y-%m-%dT%H:%M:%SZ") for step in STEPS]
    assert [own["time"] for own in rows] == days
    assert answer.prepared.plan.cost.rows == len(CRUISE)


def test_values_between_cells_are_those_of_the_place_s_own_step(tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 5)
    timed = series(files, tmp_path / "timed", points=CRUISE, interpolation="bilinear")
    plain = tuple(replace(own, time=None) for own in CRUISE)
    every = series(files, tmp_path / "every", points=plain, interpolation="bilinear")
    expected = every.read("analysed_sst")[np.arange(len(CRUISE)), STEPS]
    np.testing.assert_array_equal(timed.read("analysed_sst"), expected)


def test_place_of_another_time_is_left_out_and_none_at_all_is_no_data(tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 2)
    late = at(24 + 13, 10.5, -20.2, "late")
    answer = series(files, tmp_path / "a", points=(CRUISE[0], late))
    assert answer.read("analysed_sst").shape == (1,)
    assert any("late (10.5, -20.2) at 2024-01-04" in own for own in answer.prepared.plan.notes)
    with pytest.raises(NoDataError, match="None of the 1 places has a time in the record"):
        series(files, tmp_path / "b", points=(late,))


def test_times_of_some_places_alone_and_beside_a_time_range_are_refused(tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 2)
    with pytest.raises(RequestError, match="give one to all"):
        series(files, tmp_path / "a", points=(CRUISE[0], Place(1, 2)))
    asked = request(times=(NOON, None)).temporal
    with pytest.raises(UnsupportedError, match="cannot be asked for together"):
        series(files, tmp_path / "b", points=CRUISE[:2], temporal=asked)


def test_file_of_places_may_have_a_time_in_each_line(tmp_path: Path) -> None:
    path = tmp_path / "cruise.csv"
    path.write_text("time,lat,lon,name\n2024-01-02T12:00:00Z,-20.2,10.5,a\n2024-01-03,1,2,b\n")
    assert places_in(path) == (CRUISE[0], Place(2, 1, "b", datetime(2024, 1, 3, tzinfo=UTC)))
    path.write_text("time,lat,lon\nnoon,1,2\n")
    with pytest.raises(RequestError, match=r"Line 2 of .*'noon'"):
        places_in(path)


def test_table_of_a_corridor_lists_the_cells_of_its_line_one_after_another(tmp_path: Path) -> None:
    """As Harmony draws an EDR trajectory, here towards the west."""
    files = write_days(tmp_path / "granules", 2)
    line = np.array([(-21.0, 14.0), (-27.4, 16.6), (-72.6, 33.9)])
    beside = np.array([1e-5, 4e-5])
    ring = [*(line + beside), *(line - beside)[::-1], (line + beside)[0]]
    document = {"type": "Polygon", "coordinates": [[own.tolist() for own in ring]]}
    answer = series(files, tmp_path, shape=json.dumps(document), media_type="text/csv")
    lines = [own for own in answer.path.read_text().splitlines() if not own.startswith("#")]
    rows = [dict(zip(lines[0].split(","), own.split(","), strict=True)) for own in lines[1:]]
    seen = [(float(own["longitude"]), float(own["latitude"])) for own in rows]
    places = np.concatenate([np.linspace(*line[n : n + 2], 9999) for n in (0, 1)])
    cells = [tuple(own) for own in (np.floor(places / 5) * 5 + 2.5).tolist()]
    passed = [own for own, last in zip(cells, [None, *cells], strict=False) if own != last]
    assert seen == [own for own in passed for _ in range(2)]  # both days of one, then the next
