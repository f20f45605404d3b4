"""An output can be asked for again: the same request, the same snapshot, the same bytes."""

import hashlib
import json
import shutil
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from typer.testing import CliRunner
from world import (
    kerchunk_references,
    virtual_dataset,
    write_days,
    write_icechunk,
    write_references,
)

from harmony_vds.cli.main import app

TRIANGLE = {"type": "Polygon", "coordinates": [[[-60, -40], [60, -40], [0, 50], [-60, -40]]]}


def run(*words: object, refused: bool = False) -> str:
    """The command line in this process: what it prints, or what it refuses with."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert (done.exit_code != 0) == refused, done.output
    return str(done.exception) if refused else done.stdout.strip()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


REQUESTS = {
    "box and time": ["--variable", "analysed_sst", "--bbox", "140", "5", "-95", "62", "--temporal",
                     "2024-01-03T00:00:00Z", ".."],
    "everything": [],
    "shape": ["--variable", "analysed_sst", "--shape", json.dumps(TRIANGLE)],
    "months": ["--months", "1", "--variable", "mask"],
    "average": ["--variable", "mask", "--variable", "analysed_sst", "--average", "area", "--bbox",
                "0", "-40", "40", "40"],
    "time": ["--variable", "analysed_sst", "--average", "time", "--crs", "EPSG:3857",
             "--interpolation", "max", "--cell", "3e6", "3e6"],
    "between": ["--point", "10.5,-20", "--interpolation", "bilinear"],
    "points": ["--point", "10.5,-20,buoy", "--point", "40,30", "--variable", "analysed_sst"],
    "kerchunk": ["--format", "kerchunk", "--bbox", "0", "0", "40", "40"],
}  # fmt: skip


@pytest.mark.parametrize("form", ["icechunk", "kerchunk"])
@pytest.mark.parametrize("asked", REQUESTS)
def test_request_that_an_output_keeps_gives_the_same_bytes_again(
    form, asked, store, days, tmp_path
):
    place = store
    if form == "kerchunk":
        place = write_references(tmp_path / "sst.json", kerchunk_references(days))
    trust = ["--trust", days[0].parent]
    told = run("subset", "--store", place, *trust, "--output", tmp_path / "a", *REQUESTS[asked])
    first = Path(told.splitlines()[-1])
    again = Path(run("rerun", first, *trust, "--output", tmp_path / "b"))
    assert again.parent == tmp_path / "b"
    assert digest(again) == digest(first)


@pytest.mark.parametrize(
    "form", ["zip", "png", *(pytest.param(own, marks=pytest.mark.scale)
                             for own in ("zarr", "geotiff", "parquet"))],
)  # fmt: skip
def test_every_form_that_keeps_its_request_gives_the_same_bytes_again(
    form, store, days, tmp_path, monkeypatch
):
    if form == "zip":
        monkeypatch.setenv("HARMONY_VDS_ZARR", "zip")
    name = "zarr" if form == "zip" else form
    trust = ["--trust", days[0].parent]
    told = run("subset", "--store", store, *trust, "--output", tmp_path / "a", "--format", name,
               "--variable", "mask", "--temporal", "2024-01-03T00:00:00Z",
               "2024-01-03T23:00:00Z", "--bbox", 0, 0, 40, 40)  # fmt: skip
    first = Path(told.splitlines()[-1])
    again = Path(run("rerun", first, *trust, "--output", tmp_path / "b"))
    assert again.name == first.name
    files = [own for own in (first, *first.rglob("*")) if own.is_file()]
    assert files
    for own in files:
        assert digest(again / own.relative_to(first)) == digest(own)


def content(repository: Path) -> dict[str, object]:
    """All that an icechunk repository holds on its branch: metadata, references, values."""
    opened = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repository)))
    session = opened.readonly_session("main")
    group = zarr.open_group(session.store, mode="r")
    held: dict[str, object] = {"": dict(group.attrs)}
    for name, array in group.arrays():
        held[name] = array.metadata.to_dict()
        if session.chunk_type(f"/{name}", [0] * array.ndim) != icechunk.ChunkType.virtual:
            held[f"{name} values"] = np.asarray(array[...]).tobytes()
    held["references"] = sorted(session.all_virtual_chunk_locations())
    return held


def test_icechunk_output_gives_the_same_content_again_under_other_ids(store, days, tmp_path):
    trust = ["--trust", days[0].parent]
    told = run("subset", "--store", store, *trust, "--output", tmp_path / "a", "--format",
               "icechunk", "--variable", "mask", "--bbox", 0, 0, 40, 40)  # fmt: skip
    first = Path(told.splitlines()[-1])
    again = Path(run("rerun", first, *trust, "--output", tmp_path / "b"))
    assert again != first
    assert content(again) == content(first)
    assert content(first)["references"]
    trusted = f"{days[0].parent.as_uri()}/"
    options = {"engine": "vds", "trust": trusted, "mask_and_scale": False}
    with xr.open_dataset(first, **options) as one, xr.open_dataset(again, **options) as other:
        assert one.load().identical(other.load())


def test_csv_says_that_it_keeps_nothing(tmp_path):
    (tmp_path / "a.csv").write_text("time,mask\n")
    assert "Parquet keeps its request" in run("rerun", tmp_path / "a.csv", refused=True)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.parquet", "a.zarr.zip", "a.json", "a.nc4"])
def test_damaged_output_is_named(name, tmp_path):
    (tmp_path / name).write_bytes(b"no such thing")
    assert "cannot be read" in run("rerun", tmp_path / name, refused=True)


def test_icechunk_store_that_moved_on_is_read_in_its_former_state(days, tmp_path):
    place = tmp_path / "sst.icechunk"
    container = f"{days[0].parent.as_uri()}/"
    write_icechunk(place, {None: virtual_dataset(days)}, container=container)
    trust = ["--trust", days[0].parent]
    options = ["--store", place, *trust, "--variable", "mask", "--output", tmp_path / "a"]
    first = Path(run("subset", *options).split("\n")[-1])
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(place)))
    session = repository.writable_session("main")
    zarr.open_group(session.store).attrs["title"] = "another"
    session.commit("a new title")
    again = Path(run("rerun", first, *trust, "--output", tmp_path / "b"))
    assert digest(again) == digest(first)


def test_references_that_were_written_anew_are_refused(tmp_path):
    days = write_days(tmp_path / "granules", 2)
    place = write_references(tmp_path / "sst.json", kerchunk_references(days))
    trust = ["--trust", days[0].parent]
    first = Path(
        run("subset", "--store", place, *trust, "--output", tmp_path / "a").split("\n")[-1]
    )
    write_references(place, kerchunk_references(days[:1]))
    told = run("rerun", first, *trust, "--output", tmp_path / "b", refused=True)
    assert "was made from the state" in told
    assert not (tmp_path / "b").exists()


def test_store_that_moved_is_named_anew(store, days, tmp_path):
    first = Path(run("subset", "--store", store, "--trust", days[0].parent, "--variable", "mask",
                     "--output", tmp_path / "a"))  # fmt: skip
    moved = Path(shutil.copytree(store, tmp_path / "moved.icechunk"))
    with netCDF4.Dataset(first) as nc:
        before = nc["mask"][:]
    again = Path(run("rerun", first, "--store", moved, "--trust", days[0].parent, "--output",
                     tmp_path / "b"))  # fmt: skip
    with netCDF4.Dataset(again) as nc:
        assert (nc["mask"][:] == before).all()


def test_file_of_others_keeps_no_request(days, tmp_path):
    assert "keeps no request" in run("rerun", days[0], refused=True)
    assert "cannot be read" in run("rerun", tmp_path / "nothing.nc", refused=True)
