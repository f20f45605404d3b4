"""ASF NISAR frames: a static collection whose granules are frames, each an icechunk repository."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import virtualizarr.accessor  # noqa: F401  gives datasets their .vz
import xarray as xr
from systems.granules import weather
from systems.places import check_cut, inside, on_plane, window
from systems.published import LAYOUTS, Publication, publishing
from world import umm_collection, umm_granule, virtual_dataset, write_icechunk

GROUP = LAYOUTS["nisar"]["group"]
OTHER = GROUP.removesuffix("A") + "B"
STATIC, GCOV = "NISAR_L2_GCOV_FRAMES_V1", "NISAR_L2_GCOV_V1"
FRAMES_ID = "C2222222222-TEST"
PASSES = np.array(["2025-10-03T13:28:15", "2025-10-15T13:28:15", "2025-10-27T13:28:16"], "M8[ns]")
PLACES = {"F071": (300_000.0, 4_100_000.0), "F072": (300_000.0, 3_900_000.0)}
BOXES = {"F071": (-120.0, 36.0, -117.5, 37.5), "F072": (-120.0, 34.0, -117.5, 35.5)}
NY, NX, SIDE = 48, 64, 16


def granule(path: Path, number: int, frame: str) -> Path:
    """Backscatter in deep groups; x and y are scales of the images and of nothing else."""
    east, north = PLACES[frame]
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for factor, name in ((1, GROUP), (2, OTHER)):
            group = file.create_group(name)
            ny, nx = NY // factor, NX // factor
            group["yCoordinates"] = north - 20.0 * factor * np.arange(ny)
            group["xCoordinates"] = east + 20.0 * factor * np.arange(nx)
            for axis in ("x", "y"):
                scale = group[f"{axis}Coordinates"]
                scale.make_scale(f"{axis}Coordinates")
                scale.attrs["standard_name"] = np.bytes_(f"projection_{axis}_coordinate")
                scale.attrs["units"] = np.bytes_("meters")
            group["projection"] = np.uint32(32611)
            group["projection"].attrs["epsg_code"] = np.int64(32611)
            for polarisation in ("HHHH", "HVHV"):
                values = weather((ny, nx), 10 * number + len(group))
                values[:, :5] = np.nan
                image = group.create_dataset(
                    polarisation, data=values, chunks=(SIDE, SIDE), compression="gzip",
                    shuffle=True, fillvalue=np.float32(np.nan),
                )  # fmt: skip
                image.dims[0].attach_scale(group["yCoordinates"])
                image.dims[1].attach_scale(group["xCoordinates"])
                image.attrs["grid_mapping"] = np.bytes_("projection")
        file["/science/LSAR/identification/listOfFrequencies"] = np.array([b"A", b"B"])
    return path


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    root = tmp_path_factory.mktemp("nisar")
    return {
        frame: [granule(root / "NISAR" / f"{frame}_{n}.h5", 7 * (frame == "F072") + n, frame)
                for n in range(len(PASSES))]
        for frame in PLACES
    }  # fmt: skip


def stack(files: list[Path], group: str) -> xr.Dataset:
    """One group of a frame's granules along a time that comes from elsewhere."""
    parts = [virtual_dataset([path], group=group) for path in files]
    images = [part[["HHHH", "HVHV"]].expand_dims("time") for part in parts]
    joined = xr.concat(images, dim="time", data_vars="all", coords="minimal", compat="override",
                       join="override")  # fmt: skip
    told = {"standard_name": "time", "axis": "T"}
    time = xr.Variable(("time",), PASSES, told)
    return joined.assign({"time": time, "projection": parts[0]["projection"]})


@pytest.fixture
def published(frames: dict[str, list[Path]]) -> Iterator[Publication]:
    root = frames["F071"][0].parents[1]
    with publishing(root, short_name=GCOV) as publication:
        publication.publish(
            MetadataAssociations=[{"Type": "RELATED", "EntryId": STATIC, "Version": "1.0"}]
        )
        publication.records[FRAMES_ID] = umm_collection(FRAMES_ID, [], STATIC)
        for number, (frame, files) in enumerate(frames.items()):
            name = f"NISAR_L2_GCOV_FRAME_{frame}"
            folder = root / f"{name}-{publication.archive.url.rpartition(':')[2]}.icechunk"
            groups: dict[str | None, xr.Dataset] = {
                group.strip("/"): stack(files, group) for group in (GROUP, OTHER)
            }
            here = {path.as_uri(): publication.url(path) for path in files}
            write_icechunk(folder, groups, container=f"{publication.archive.url}/NISAR/",
                           rename=here.__getitem__)  # fmt: skip
            link = {"URL": publication.url(folder), "Type": "GET DATA"}
            publication.records[f"G{number}-TEST"] = umm_granule(
                f"G{number}-TEST", FRAMES_ID, name, [link], box=BOXES[frame],
                times=("2025-10-01T00:00:00.000Z", "2026-10-01T00:00:00.000Z"),
            )  # fmt: skip
        publication.archive.forget()
        yield publication


def image(path: Path, group: str, polarisation: str) -> np.ndarray:
    with h5py.File(path) as file:
        return np.asarray(file[f"{group}/{polarisation}"])


def check(
    data: Path, files: list[Path], group: str, polarisation: str,
    box: tuple[float, ...] | None = None,
) -> None:  # fmt: skip
    """The output holds one image of these passes, in its group, with its place, cut to a box."""
    truth = np.stack([image(path, group, polarisation) for path in files])
    with h5py.File(files[0]) as file:
        x, y = (file[f"{group}/{axis}Coordinates"][...] for axis in "xy")
    cells = np.ones((y.size, x.size), bool) if box is None else inside(*on_plane(32611, x, y), box)
    assert cells.any()
    rows, columns = window(cells)
    with netCDF4.Dataset(data) as nc:
        nc.set_auto_maskandscale(False)
        own = nc[group]
        check_cut(own[polarisation][...], truth, cells, np.float32(np.nan))
        assert own[polarisation].dimensions == ("time", "yCoordinates", "xCoordinates")
        np.testing.assert_array_equal(own["xCoordinates"][...], x[columns])
        np.testing.assert_array_equal(own["yCoordinates"][...], y[rows])
        assert own["projection"].epsg_code == 32611


def test_box_chooses_the_frame_of_a_related_collection_and_variables_its_group(
    published: Publication, frames: dict[str, list[Path]], tmp_path: Path
) -> None:
    box = (-119.245, 37.019, -119.2401, 37.0229)
    outcome = published.invoke(
        tmp_path, [f"{GROUP}/HHHH"], bbox=list(box), short_name=GCOV,
        temporal={"start": "2025-10-10T00:00:00Z", "end": "2025-12-01T00:00:00Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    (item,), (data,) = outcome.items, outcome.data
    check(data, frames["F071"][1:], GROUP, "HHHH", box)
    with netCDF4.Dataset(data) as nc:
        frequencies = nc["/science/LSAR/GCOV/grids"].groups
        assert set(frequencies) == {"frequencyA"}
        assert "HVHV" not in frequencies["frequencyA"].variables
    west, south, east, north = box
    cell = 20 / 85_000  # degrees of a meridian or, here, of a parallel that a cell is not wide
    assert np.allclose(item["bbox"], (west, south, east, north), atol=1.5 * cell)
    assert item["properties"]["start_datetime"] == "2025-10-15T13:28:15Z"
    assert FRAMES_ID in str(published.cmr.asked[-1].query)
    assert not any("F072" in path for path in published.archive.paths())


def test_every_frame_that_meets_the_request_is_an_output_of_its_own(
    published: Publication, frames: dict[str, list[Path]], tmp_path: Path
) -> None:
    outcome = published.invoke(tmp_path, [f"{OTHER}/HVHV"], short_name=GCOV)
    assert outcome.status == 0, outcome.error
    assert len(outcome.items) == 2
    for data, item, (frame, files) in zip(outcome.data, outcome.items, frames.items(), strict=True):
        check(data, files, OTHER, "HVHV")
        east, north = PLACES[frame]
        places = on_plane(
            32611, [east - 20, east + 20 * NX - 20], [north + 20, north - 20 * NY + 20]
        )
        edges = [*(own.min() for own in places), *(own.max() for own in places)]
        assert np.allclose(item["bbox"], edges, atol=1e-9)
