"""Whole invocations where granules or frames, not the collection, have stores: both chains.

Three tiles of ten degrees, two days each. A tile's granules name the tile's kerchunk JSON stack,
and each its own; every value is compared with the granules as netCDF4 reads them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from invocation import CANARY, Outcome, invoke, make_message
from servers import Server, cmr_server, file_server
from world import (
    kerchunk_references,
    umm_collection,
    umm_granule,
    umm_variable,
    write_days,
    write_references,
    write_stac,
    write_tile,
)

FRAMES, STATIC, DAILY, HOSTILE = "C1-TEST", "C2-TEST", "C3-TEST", "C4-TEST"
BY_VARIABLE, BY_DOI, TIMELESS = "C5-TEST", "C6-TEST", "C7-TEST"
TILES = {"F1": (0.0, 0.0), "F2": (10.0, 0.0), "F3": (-30.0, 40.0)}


@dataclass
class World:
    """Tiles and days, their stores behind an HTTP server, and the CMR that tells of them."""

    tiles: dict[str, list[Path]]
    days: list[Path]
    http: Server
    cmr: Server
    names: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {"CMR_ENDPOINT": self.cmr.url, "PYTHONWARNINGS": "ignore",
                "HARMONY_VDS_TRUSTED_PREFIXES": f"{self.http.url}/"}  # fmt: skip

    def forget(self) -> None:
        self.http.forget()
        self.cmr.forget()

    def opened(self) -> list[str]:
        """The manifests that were read, one entry for each reading."""
        return [own.path.rpartition("/")[2] for own in self.http.asked
                if own.path.endswith(".json") and "Range" not in own.headers]  # fmt: skip


def noon(day: int) -> str:
    return f"2024-01-{day + 2:02d}T12:00:00.000Z"


def whole_day(day: int) -> tuple[str, str]:
    return f"2024-01-{day + 2:02d}T00:00:00.000Z", f"2024-01-{day + 3:02d}T00:00:00.000Z"


def references(root: Path, name: str, files: list[Path], http: str) -> None:
    document = kerchunk_references(
        files, lambda url: url.replace(f"file://{root}", http), identical=("lat", "lon")
    )
    write_references(root / name, document)


def link(url: str, type_: str = "GET DATA", **more: str) -> dict[str, str]:
    return {"URL": url, "Type": type_, **more}


def tile_granules(root: Path, tiles: dict[str, list[Path]], http: str) -> list[dict[str, Any]]:
    """Records as archives write them: synthetic. F3 claims the whole world for its extent."""
    items = []
    for frame, files in tiles.items():
        west, south = TILES[frame]
        references(root, f"STACK_{frame}.zarr.json", files, http)
        for day, path in enumerate(files):
            references(root, f"{path.stem}.zarr.json", [path], http)
            box = (west, south, west + 10, south + 10) if frame != "F3" else (-180, -90, 180, 90)
            items.append(
                umm_granule(
                    f"G{len(items) + 1}-TEST", STATIC, path.stem,
                    [
                        link(f"{http}/{path.name}"),
                        link(f"{http}/{path.stem}.zarr.json", Format="Zarr"),
                        link(f"{http}/STACK_{frame}.zarr.json", Format="Zarr"),
                    ],
                    box=box, times=(noon(day), noon(day)),
                )
            )  # fmt: skip
    return items


def timeless_granules(root: Path, files: list[Path], http: str) -> list[dict[str, Any]]:
    """Granules with stores of their own, and a stack that tells of no time nor file."""
    document = json.loads((root / "STACK_F1.zarr.json").read_text())
    attributes = json.loads(document["refs"]["time/.zattrs"])
    kept = {name: own for name, own in attributes.items() if name in ("_ARRAY_DIMENSIONS", "axis")}
    document["refs"]["time/.zattrs"] = json.dumps(kept | {"units": "1"})
    write_references(root / "STACK_timeless.zarr.json", document)
    return [
        umm_granule(
            f"G5{day}-TEST", TIMELESS, path.stem,
            [link(f"{http}/{path.name}"), link(f"{http}/{path.stem}.zarr.json", Format="Zarr"),
             link(f"{http}/STACK_timeless.zarr.json", Format="Zarr")],
            times=(noon(day), noon(day)),
        )
        for day, path in enumerate(files)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("frames")
    tiles = {
        frame: [write_tile(root / f"TILE_{frame}_day{day}.nc", day, *corner) for day in range(2)]
        for frame, corner in TILES.items()
    }
    days = write_days(root / "days", 5)
    with file_server(root) as http:
        granules = tile_granules(root, tiles, http.url)
        granules += timeless_granules(root, tiles["F1"], http.url)
        references(root, "daily.json", days, http.url)
        related = {
            "MetadataAssociations": [{"Type": "CHILD", "EntryId": "FRAMES", "Version": "1.0"}]
        }
        records = {
            FRAMES: umm_collection(FRAMES, [], "PARENT", **related),
            BY_DOI: umm_collection(
                BY_DOI,
                [],
                "CITING",
                AssociatedDOIs=[{"DOI": "https://doi.org/10.5067/FRAMES", "Type": "Child Dataset"}],
            ),
            STATIC: umm_collection(STATIC, [], "FRAMES", DOI={"DOI": "10.5067/FRAMES"}),
            TIMELESS: umm_collection(TIMELESS, []),
            DAILY: umm_collection(DAILY, [f"{http.url}/daily.json"]),
            HOSTILE: umm_collection(HOSTILE, []),
        }
        passwd = [link("file:///etc/passwd", Format="Kerchunk"),
                  link("https://127.0.0.1/a.zarr.json", Format="Zarr"),
                  link("https://169.254.169.254/a.zarr.json", Format="Zarr")]  # fmt: skip
        granules.append(umm_granule("G99-TEST", HOSTILE, "HOSTILE", passwd))
        records[BY_VARIABLE] = umm_collection(BY_VARIABLE, [])
        records[BY_VARIABLE]["meta"]["associations"] = {"variables": ["V1-TEST"]}
        own = {"URL": f"{http.url}/daily.json", "Format": "Zarr"}
        mask = umm_variable("V1-TEST", "mask", InstanceInformation=own)
        with cmr_server(records, *granules, mask, token=CANARY) as cmr:
            yield World(tiles, days, http, cmr)


def packed(path: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    with netCDF4.Dataset(path) as nc:
        nc.set_auto_maskandscale(False)
        return nc[name][:], nc["lat"][:], nc["lon"][:], nc["time"][:]


def check_tile(data: Path, files: list[Path], box: list[float] | None) -> None:
    got = packed(data, "displacement")
    parts = []
    for path in files:
        values, lat, lon, _ = packed(path, "displacement")
        if box is not None:
            rows = (lat >= box[1]) & (lat <= box[3])
            values = values[:, rows][:, :, (lon >= box[0]) & (lon <= box[2])]
        parts.append(values)
    np.testing.assert_array_equal(got[0], np.concatenate(parts))
    np.testing.assert_array_equal(
        got[3], np.concatenate([packed(p, "displacement")[3] for p in files])
    )


def items(paths: list[Path], ids: list[int], assets: list[dict[str, Any]]) -> list[Any]:
    """Items as query-cmr leaves them; each is of the noon of the day that its name ends in."""
    return [
        {
            "concept_id": f"G{number}-TEST",
            "name": path.stem,
            "assets": own,
            "times": (noon(int(path.stem[-1])),) * 2,
        }
        for path, number, own in zip(paths, ids, assets, strict=True)
    ]


@pytest.mark.parametrize("collection", [STATIC, FRAMES, BY_DOI], ids=["own", "related", "by DOI"])
def test_box_over_two_frames_gives_each_as_an_output_of_its_own(
    collection: str, world: World, tmp_path: Path
) -> None:
    box = [3.0, 2.0, 14.0, 7.0]
    world.forget()
    message = make_message(collection, short_name="DISP", bbox=box)
    outcome = invoke(message, tmp_path, environment=world.environment)
    assert outcome.status == 0, outcome.error
    assert [path.name for path in outcome.data] == [
        "DISP_1.0_STACK_F1_subsetted.nc4", "DISP_1.0_STACK_F2_subsetted.nc4",
    ]  # fmt: skip
    check_tile(outcome.data[0], world.tiles["F1"], box)
    check_tile(outcome.data[1], world.tiles["F2"], box)
    boxes = [item["bbox"] for item in outcome.items]
    assert boxes == [[3.0, 2.0, 10.0, 7.0], [10.0, 2.0, 14.0, 7.0]]
    # F3 claims to meet the box and does not; it was looked at, and is no error.
    assert sorted(world.opened()) == [f"STACK_F{n}.zarr.json" for n in (1, 2, 3)]
    searches = [own.query for own in world.cmr.asked if "bounding_box" in own.query]
    assert [own["bounding_box"] for own in searches] == [["3,2,14,7"]]


def test_box_over_two_frames_on_a_target_grid_gives_one_output(
    world: World, tmp_path: Path
) -> None:
    form = {"mime": "application/netcdf", "crs": "EPSG:4326"}
    message = make_message(STATIC, bbox=[3, 2, 14, 7], format=form, isSynchronous=True)
    outcome = invoke(message, tmp_path, environment=world.environment)
    assert outcome.status == 0, outcome.error
    (data,) = outcome.data
    values, lat, lon, times = packed(data, "displacement")
    assert lon.tolist() == np.arange(3.5, 14).tolist()
    assert lat.tolist() == np.arange(6.5, 2, -1).tolist()
    for day in range(2):
        east, west = (packed(world.tiles[own][day], "displacement") for own in ("F2", "F1"))
        whole = np.concatenate([west[0][0], east[0][0]], axis=1)
        np.testing.assert_array_equal(values[day], whole[6:1:-1, 3:14])
        assert times[day] == east[3][0]
    assert outcome.items[0]["bbox"] == [3, 2, 14, 7]


def test_time_range_narrows_the_search_for_frames(world: World, tmp_path: Path) -> None:
    world.forget()
    times = {"start": "2024-01-03T00:00:00Z", "end": "2024-01-04T00:00:00Z"}
    message = make_message(STATIC, bbox=[1, 1, 5, 5], temporal=times)
    outcome = invoke(message, tmp_path, environment=world.environment)
    assert outcome.status == 0, outcome.error
    (data,) = outcome.data
    check_tile(data, world.tiles["F1"][1:], [1, 1, 5, 5])
    (asked,) = [own.query["temporal"] for own in world.cmr.asked if "temporal" in own.query]
    assert asked == ["2024-01-03T00:00:00Z,2024-01-04T00:00:00Z"]


def test_too_many_frames_are_refused_naming_them_and_how_to_narrow(
    world: World, tmp_path: Path
) -> None:
    environment = {**world.environment, "HARMONY_VDS_MAX_STORES": "2"}
    world.forget()
    outcome = invoke(make_message(STATIC), tmp_path, environment=environment)
    told = outcome.error["error"]
    assert outcome.error["category"] == "NoRetry"
    for part in ("more than 2", "STACK_F1", "smaller box", "HARMONY_VDS_MAX_STORES"):
        assert part in told
    assert len(told) < 1000
    assert world.http.asked == []


def test_box_and_time_that_meet_no_frame_are_no_data(world: World, tmp_path: Path) -> None:
    message = make_message(STATIC, temporal={"start": "2031-01-01T00:00:00Z"})
    outcome = invoke(message, tmp_path, environment=world.environment)
    assert outcome.error["category"] == "NoData"
    assert "2031" in outcome.error["error"]


def test_synchronous_request_that_meets_two_frames_is_refused(world: World, tmp_path: Path) -> None:
    message = make_message(STATIC, bbox=[3, 2, 14, 7], isSynchronous=True)
    outcome = invoke(message, tmp_path, environment=world.environment)
    assert outcome.error["category"] == "NoRetry"
    assert "forceAsync" in outcome.error["error"]


def chain_b(
    world: World, tmp_path: Path, collection: str, selected: list[Any], **more: Any
) -> Outcome:
    catalog = write_stac(tmp_path / "input", collection, selected, world.cmr.url)
    world.forget()
    return invoke(make_message(collection, **more), tmp_path, environment=world.environment,
                  sources=str(catalog))  # fmt: skip


def test_selected_granules_are_cut_out_of_the_store_they_share(
    world: World, tmp_path: Path
) -> None:
    chosen = [world.days[1], world.days[3]]
    selected = [
        {"concept_id": f"G{day}-DAY", "name": f"sst_{day}", "times": whole_day(day),
         "assets": {"data": {"href": f"{world.http.url}/days/sst_{day + 1:03d}.nc"}}}
        for day in (1, 3)
    ]  # fmt: skip
    outcome = chain_b(world, tmp_path, DAILY, selected, variables=["analysed_sst"],
                      bbox=[-30, -30, 30, 30])  # fmt: skip
    assert outcome.status == 0, outcome.error
    (data,) = outcome.data
    values, _, _, times = packed(data, "analysed_sst")
    expected = []
    for path in chosen:
        own, lat, lon, _ = packed(path, "analysed_sst")
        expected.append(own[:, np.abs(lat) <= 30][:, :, np.abs(lon) <= 30])
    np.testing.assert_array_equal(values, np.concatenate(expected))
    np.testing.assert_array_equal(times, [packed(path, "analysed_sst")[3][0] for path in chosen])
    assert world.opened() == ["daily.json"]
    properties = outcome.items[0]["properties"]
    assert properties["start_datetime"] == "2024-01-03T12:00:00Z"
    assert properties["end_datetime"] == "2024-01-05T12:00:00Z"
    with netCDF4.Dataset(data) as nc:
        assert "selected granules" in nc.virtual_store_notes
        assert "sst_1" in nc.history


def test_one_selected_granule_is_answered_from_its_own_store(world: World, tmp_path: Path) -> None:
    path = world.tiles["F2"][1]
    assets = {"data": {"href": f"{world.http.url}/{path.name}"},
              "data1": {"href": f"{world.http.url}/{path.stem}.zarr.json"}}  # fmt: skip
    outcome = chain_b(world, tmp_path, STATIC, items([path], [4], [assets]))
    assert outcome.status == 0, outcome.error
    check_tile(outcome.data[0], [path], None)
    assert world.opened() == [f"{path.stem}.zarr.json"]
    assert not [own for own in world.cmr.asked if "granules" in own.path]  # the item says it all
    assert outcome.items[0]["bbox"] == [10.0, 0.0, 20.0, 10.0]


def test_granules_of_two_frames_are_picked_from_their_stacks(world: World, tmp_path: Path) -> None:
    paths = [world.tiles["F1"][0], world.tiles["F2"][1]]
    plain = [{"data": {"href": f"{world.http.url}/{path.name}"}} for path in paths]
    outcome = chain_b(world, tmp_path, STATIC, items(paths, [1, 4], plain))
    assert outcome.status == 0, outcome.error
    assert len(outcome.items) == 2
    for data, path in zip(outcome.data, paths, strict=True):
        check_tile(data, [path], None)
    assert sorted(world.opened()) == ["STACK_F1.zarr.json", "STACK_F2.zarr.json"]
    (asked,) = [own.query for own in world.cmr.asked if "granules" in own.path]
    assert asked["concept_id[]"] == ["G1-TEST", "G4-TEST"]


def test_where_a_stack_tells_no_times_each_granule_is_answered_from_its_own_store(
    world: World, tmp_path: Path
) -> None:
    paths = world.tiles["F1"]
    plain = [{"data": {"href": f"{world.http.url}/{path.name}"}} for path in paths]
    outcome = chain_b(world, tmp_path, TIMELESS, items(paths, [50, 51], plain))
    assert outcome.status == 0, outcome.error
    assert "cannot be picked from their common store" in outcome.stderr
    assert world.opened()[0] == "STACK_timeless.zarr.json"
    assert sorted(world.opened()[1:]) == [f"{path.stem}.zarr.json" for path in paths]
    for data, path in zip(outcome.data, paths, strict=True):
        check_tile(data, [path], None)


def test_store_that_the_operator_names_is_used_whatever_records_say(
    world: World, tmp_path: Path
) -> None:
    table = tmp_path / "collections.toml"
    base = world.http.url
    table.write_text("".join(
        f'[[{HOSTILE}.stores]]\nname = "{frame}"\nurl = "{base}/STACK_{frame}.zarr.json"\n'
        for frame in ("F1", "F2")
    ))  # fmt: skip
    environment = {**world.environment, "HARMONY_VDS_COLLECTIONS_FILE": str(table)}
    message = make_message(HOSTILE, short_name="DISP", variables=["F2/displacement"])
    outcome = invoke(message, tmp_path, environment=environment)
    assert outcome.status == 0, outcome.error
    (data,) = outcome.data
    assert data.name == "DISP_1.0_F2_displacement_subsetted.nc4"
    check_tile(data, world.tiles["F2"], None)


def test_variable_is_answered_from_the_store_that_its_record_names(
    world: World, tmp_path: Path
) -> None:
    outcome = invoke(make_message(BY_VARIABLE, variables=["mask"]), tmp_path,
                     environment=world.environment)  # fmt: skip
    assert outcome.status == 0, outcome.error
    values = packed(outcome.data[0], "mask")[0]
    expected = [packed(path, "mask")[0] for path in world.days]
    np.testing.assert_array_equal(values, np.concatenate(expected))


def test_hostile_records_are_not_followed(world: World, tmp_path: Path) -> None:
    outcome = invoke(make_message(HOSTILE), tmp_path, environment=world.environment)
    assert outcome.status == 1
    told = json.dumps(outcome.error) + outcome.stderr
    assert outcome.error["category"] == "NoRetry"
    assert "root:" not in told
    assert CANARY not in told
