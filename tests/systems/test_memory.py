"""Memory stays bounded however much is read: a process of its own, its peak told by Linux."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from servers import file_server
from world import FIRST_NOON, kerchunk_references, write_granule, write_references

NLAT, NLON = 1200, 2400
DAYS_SHORT, DAYS_LONG = 40, 3_600  # 5.76 MB each: 230 MB and 20.7 GB
WINDOW = 96 * 2**20
"""A piece in hand and the ones read ahead of it."""
BESIDE = 250 * 10**6
"""What a process may hold besides its window, imports included."""
BESIDE_PROJ = 300 * 10**6
"""Likewise where PROJ is loaded: with shapely for the areas of cells, with GDAL for GeoTIFF."""

READ_ALL = """
import json, sys
from pathlib import Path
import numpy as np
from harmony_vds.access.credentials import Credentials
from harmony_vds.discovery.found import locate
from harmony_vds.memory import return_large_blocks
from harmony_vds.model.request import Request, Source
from harmony_vds.outputs.pieces import read_ahead
from harmony_vds.pipeline import Services, prepare
from harmony_vds.settings import settings_from_environment
from harmony_vds.transform.apply import apply_plan

return_large_blocks()
store, name = sys.argv[1:]
with Services.of(settings_from_environment(), Credentials.of_token(None)) as services:
    request = Request(sources=(Source("", "store", variables=(name,)),))
    (prepared,) = prepare(request, services, store)
    subset = apply_plan(prepared.store, prepared.plan)
    total = nbytes = 0
    for number, _, values in read_ahead(subset.variables):
        if subset.variables[number].planned.path == f"/{name}":
            total += int(values.sum(dtype=np.int64))
            nbytes += values.nbytes
status = Path("/proc/self/status").read_text()
peak = 1024 * int(status.partition("VmHWM:")[2].split()[0])
print(json.dumps({"sum": total, "nbytes": nbytes, "peak": peak}))
"""

AVERAGE = """
import json, sys, tempfile
from pathlib import Path
import netCDF4
from harmony_vds.access.credentials import Credentials
from harmony_vds.memory import return_large_blocks
from harmony_vds.model.request import Request, Source
from harmony_vds.pipeline import Services, fulfil, prepare
from harmony_vds.settings import settings_from_environment

return_large_blocks()
store, name, kind = sys.argv[1:]
with Services.of(settings_from_environment(), Credentials.of_token(None)) as services:
    request = Request(sources=(Source("", "store", variables=(name,)),), average=kind)
    prepared = prepare(request, services, store)
    with tempfile.TemporaryDirectory() as folder:
        (output,) = fulfil(prepared, Path(folder), services)
        status = Path("/proc/self/status").read_text()
        with netCDF4.Dataset(output.path) as nc:
            means, counts = nc[name][:], nc[f"{name}_count"][:]
peak = 1024 * int(status.partition("VmHWM:")[2].split()[0])
told = {"mean": float(means.mean()), "spread": float(means.std()), "count": int(counts.sum())}
print(json.dumps({**told, "peak": peak, "said": prepared[0].plan.cost.peak_memory}))
"""


@pytest.mark.parametrize("days", [DAYS_SHORT, pytest.param(DAYS_LONG, marks=pytest.mark.scale)])
def test_a_read_of_any_size_stays_under_the_window_and_250_megabytes(
    days: int, tmp_path: Path
) -> None:
    values, told = told_of(READ_ALL, days, tmp_path)
    assert told["sum"] == int(values.sum(dtype=np.int64)) * days
    assert told["nbytes"] == days * NLAT * NLON * 2
    assert told["peak"] <= WINDOW + BESIDE


@pytest.mark.parametrize("kind", ["time", "area"])
@pytest.mark.parametrize("days", [DAYS_SHORT, pytest.param(DAYS_LONG, marks=pytest.mark.scale)])
def test_an_average_of_any_length_stays_under_the_window_and_250_megabytes(
    kind: str, days: int, tmp_path: Path
) -> None:
    values, told = told_of(AVERAGE, days, tmp_path, kind)
    beside = BESIDE_PROJ if kind == "area" else BESIDE
    assert told["count"] == values.size * days
    if kind == "time":  # each day is the same
        assert told["mean"] == pytest.approx(273.15 + 0.01 * values.mean(), rel=1e-7)
    else:
        assert told["spread"] <= 1e-12 * told["mean"]
    assert told["peak"] <= WINDOW + beside


def told_of(
    program: str, days: int, tmp_path: Path, *arguments: str, values: np.ndarray | None = None
) -> tuple[np.ndarray, dict[str, Any]]:
    """What a program tells of as many days, and the stored values of each of them."""
    if values is None:
        rows, columns = np.indices((NLAT, NLON))
        values = ((rows // 8) * 7 + (columns // 16) % 50).astype(np.int16)  # deflates to 1 in 100
    granule = write_granule(
        tmp_path / "0.nc", 0, nlat=NLAT, nlon=NLON, chunks=(NLAT, NLON), values=values
    )
    with netCDF4.Dataset(granule) as nc:
        nc.set_auto_maskandscale(False)
        assert np.array_equal(nc["analysed_sst"][0], values)
    with file_server(tmp_path) as server:
        url = f"{server.url}/{granule.name}"
        one = kerchunk_references([granule], rename=lambda _: url)
        document = repeated(one, days, url)
        store = write_references(tmp_path / "store.json", document)
        told = answered(program, store, f"{server.url}/", "analysed_sst", *arguments)
    return values, told


def answered(program: str, store: Path, archive: str, *arguments: str) -> dict[str, Any]:
    """What a program tells of a store whose chunks lie in an archive."""
    environment = {
        "HARMONY_VDS_TRUSTED_PREFIXES": f"{store.as_uri()},{archive}",
        "HARMONY_VDS_MAX_READ_BYTES": "100GiB", "HARMONY_VDS_MAX_OUTPUT_BYTES": "100GiB",
        "HARMONY_VDS_MAX_DECODED_BYTES": "100GiB", "HARMONY_VDS_PART_BYTES": "100GiB",
        "HARMONY_VDS_MAX_SECONDS": "1000", "PYTHONWARNINGS": "ignore",
        "TMPDIR": str(store.parent),
    }  # fmt: skip
    command = [sys.executable, "-c", program, store.as_uri(), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def repeated(document: dict[str, Any], days: int, url: str) -> dict[str, Any]:
    """References to one granule, as if each day were that granule at an address of its own."""
    refs = {}
    for key, own in document["refs"].items():
        name, _, number = key.rpartition("/")
        if number != "0.0.0":
            refs[key] = own
            continue
        for day in range(days):
            refs[f"{name}/{day}.0.0"] = [f"{url}?day={day}", *own[1:]]
        array = json.loads(document["refs"][f"{name}/.zarray"])
        grown = array | {"shape": [days, *array["shape"][1:]]}
        document["refs"][f"{name}/.zarray"] = refs[f"{name}/.zarray"] = json.dumps(grown)
    times = (FIRST_NOON + 86_400 * np.arange(days)).astype("<i4")
    time = {"shape": [days], "chunks": [days], "dtype": "<i4", "fill_value": None, "order": "C",
            "filters": None, "compressor": None, "zarr_format": 2}  # fmt: skip
    refs["time/.zarray"] = json.dumps(time)
    refs["time/0"] = f"base64:{base64.b64encode(times.tobytes()).decode()}"
    return {"version": 1, "refs": refs}


WRITE = """
import json, sys, tempfile
from pathlib import Path
import numpy as np
from harmony_vds.access.credentials import Credentials
from harmony_vds.memory import return_large_blocks
from harmony_vds.model.request import Request, Source
from harmony_vds.pipeline import Services, fulfil, prepare
from harmony_vds.settings import settings_from_environment

return_large_blocks()
store, name, media_type, chunks_for = sys.argv[1:]
settings = settings_from_environment().model_copy(update={"chunks_for": chunks_for})
with Services.of(settings, Credentials.of_token(None)) as services:
    source = Source("", "store", variables=(name,))
    prepared = prepare(Request((source,), media_type=media_type), services, store)
    with tempfile.TemporaryDirectory() as folder:
        (output,) = fulfil(prepared, Path(folder), services)
        status = Path("/proc/self/status").read_text()
        if media_type == "image/tiff":
            import rasterio
            with rasterio.open(output.path) as file:
                steps, last = file.count, file.read(file.count)
        elif media_type == "application/x-zarr":
            import zarr
            array = zarr.open_group(output.path, mode="r")[name]
            steps, last = array.shape[0], array[-1]
        else:
            import h5py
            with h5py.File(output.path) as file:
                steps, last = len(file[name]), file[name][-1]
peak = 1024 * int(status.partition("VmHWM:")[2].split()[0])
print(json.dumps({"steps": steps, "sum": int(np.asarray(last).sum(dtype=np.int64)), "peak": peak}))
"""


@pytest.mark.scale
@pytest.mark.parametrize(
    ("media_type", "chunks_for"),
    [
        ("application/netcdf", "store"), ("application/netcdf", "series"),
        ("application/x-zarr", "store"), ("application/x-zarr", "series"), ("image/tiff", "store"),
    ],
)  # fmt: skip
def test_an_output_of_any_length_stays_under_the_window_and_what_its_libraries_take(
    media_type: str, chunks_for: str, tmp_path: Path
) -> None:
    days = 100 if media_type == "image/tiff" else 200
    values, told = told_of(WRITE, days, tmp_path, media_type, chunks_for)
    assert told["steps"] == days
    assert told["sum"] == int(values.sum(dtype=np.int64))
    beside = BESIDE_PROJ if media_type == "image/tiff" else BESIDE
    assert told["peak"] <= WINDOW + beside


PRICED = """
import json, os, sys, tempfile, threading
from pathlib import Path
from harmony_vds.access.credentials import Credentials
from harmony_vds.delivery import deliver
from harmony_vds.memory import return_large_blocks
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.limits import PROCESS_BYTES
from harmony_vds.model.request import Request, Source
from harmony_vds.pipeline import Services, prepare
from harmony_vds.settings import settings_from_environment

return_large_blocks()
store, name, media_type, chunks_for, box = sys.argv[1:]
tempfile.tempdir, over, seen = tempfile.mkdtemp(), threading.Event(), [0]

def watch():
    while not over.wait(0.01):
        size = 0
        for folder, _, names in os.walk(tempfile.tempdir):
            for own in names:
                try:
                    size += os.lstat(os.path.join(folder, own)).st_size
                except OSError:
                    pass
        seen[0] = max(seen[0], size)

threading.Thread(target=watch, daemon=True).start()
settings = settings_from_environment().model_copy(update={"chunks_for": chunks_for})
with Services.of(settings, Credentials.of_token(None)) as services:
    edges = BoundingBox(*map(float, box.split(","))) if box else None
    request = Request((Source("", "store", variables=(name,)),), bbox=edges, media_type=media_type)
    prepared = prepare(request, services, store)
    deliver(prepared, services, tempfile.tempdir + "/out", None)
over.set()
status = Path("/proc/self/status").read_text()
peak = 1024 * int(status.partition("VmHWM:")[2].split()[0])
cost = prepared[0].plan.cost
print(json.dumps({"peak": peak, "disk": seen[0], "said": cost.peak_memory + PROCESS_BYTES,
                  "said_disk": cost.peak_disk}))
"""
ACROSS_CHUNKS = "-101.3,-50.2,120.7,60.4"


@pytest.mark.scale
@pytest.mark.parametrize(
    ("media_type", "chunks_for", "box"),
    [
        ("application/netcdf", "store", ""), ("application/netcdf", "store", ACROSS_CHUNKS),
        ("application/x-zarr", "store", ""), ("application/x-zarr", "store", ACROSS_CHUNKS),
        ("application/x-zarr", "map", ACROSS_CHUNKS), ("application/x-zarr", "series", ""),
        ("image/tiff", "store", ""), ("text/csv", "store", "0,0,40,40"),
    ],
)  # fmt: skip
def test_what_nothing_compresses_takes_no_more_memory_and_disk_than_its_price_says(
    media_type: str, chunks_for: str, box: str, tmp_path: Path
) -> None:
    noise = np.random.default_rng(1).integers(-30000, 30000, (NLAT, NLON)).astype(np.int16)
    told = told_of(PRICED, 40, tmp_path, media_type, chunks_for, box, values=noise)[1]
    assert told["peak"] <= told["said"]
    assert told["disk"] <= told["said_disk"]


@pytest.mark.scale
def test_places_of_all_cells_of_a_swath_are_in_its_price(tmp_path: Path) -> None:
    rows, columns = np.indices((4000, 4000))
    path = tmp_path / "swath.nc"
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in (("y", 4000), ("x", 4000)):
            nc.createDimension(name, size)
        for name, units, values in (
            ("lat", "degrees_north", -60 + 0.03 * (rows + 0.3 * np.sin(columns / 50))),
            ("lon", "degrees_east", -170 + 0.08 * (columns + 0.3 * np.cos(rows / 50))),
        ):
            nc.createVariable(name, "f8", ("y", "x"), chunksizes=(500, 500))[:] = values
            nc[name].units = units
        nc.createVariable("height", "f4", ("y", "x"), chunksizes=(500, 500))[:] = 1.0
        nc["height"].coordinates = "lat lon"
    store = write_references(tmp_path / "store.json", kerchunk_references([path]))
    told = answered(PRICED, store, f"{tmp_path.as_uri()}/", "height", "application/netcdf", "store",
                    "0,0,40,40")  # fmt: skip
    assert told["peak"] <= told["said"]
