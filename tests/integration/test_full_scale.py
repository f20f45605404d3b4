"""Manifests of the size that is published: 41 years of daily global fields, read through us.

A few small granules stand in for the archive: each of 15,340 days refers to one of them, so that
the manifest has its real size (552,240 references) and every value can still be checked.
"""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import icechunk
import netCDF4
import numpy as np
import pytest
import zarr
from world import kerchunk_references, virtual_dataset, write_granule, write_icechunk

pytestmark = pytest.mark.scale

DAYS = 15_340
FILES = 4
ROWS = COLUMNS = 3  # chunks of a day, as in the published store
NLAT, NLON = 360, 720
CHUNKS = (NLAT // ROWS, NLON // COLUMNS)
VARIABLES = ("analysed_sst", "analysis_error", "sea_ice_fraction", "mask")
DAY = 86_400
FIRST = 365 * DAY + DAY // 2  # 1982-01-01T12:00, in seconds since 1981-01-01


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("archive")
    return [
        write_granule(folder / f"{n}.nc", n, nlat=NLAT, nlon=NLON, chunks=CHUNKS)
        for n in range(FILES)
    ]


@pytest.fixture(scope="module")
def chunk_table(granules: list[Path]) -> dict[str, list[list[tuple[str, int, int]]]]:
    """For each stored variable, granule and chunk: (URL, offset, length)."""
    table: dict[str, list[list[tuple[str, int, int]]]] = {"analysed_sst": [], "mask": []}
    for path in granules:
        references = kerchunk_references([path], inline=0)["refs"]
        for name, days in table.items():
            days.append(
                [
                    tuple(references[f"{name}/0.{i}.{j}"])
                    for i in range(ROWS)
                    for j in range(COLUMNS)
                ]
            )
    return table


def stored_under(name: str) -> str:
    return "mask" if name == "mask" else "analysed_sst"


@pytest.fixture(scope="module")
def kerchunk_store(
    granules: list[Path], chunk_table: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    template = kerchunk_references(granules[:1])["refs"]
    refs: dict[str, Any] = {k: v for k, v in template.items() if k.startswith((".z", "lat", "lon"))}
    times = (FIRST + DAY * np.arange(DAYS)).astype("<i8")
    inline = f"base64:{base64.b64encode(times.tobytes()).decode()}"
    meta = {"shape": [DAYS], "chunks": [DAYS], "dtype": "<i8", "fill_value": None, "order": "C",
            "filters": None, "compressor": None, "zarr_format": 2}  # fmt: skip
    refs |= {"time/.zarray": json.dumps(meta), "time/0": inline,
             "time/.zattrs": template["time/.zattrs"]}  # fmt: skip
    for name in VARIABLES:
        own = stored_under(name)
        array = json.loads(template[f"{own}/.zarray"])
        array["shape"] = [DAYS, NLAT, NLON]
        refs[f"{name}/.zarray"] = json.dumps(array)
        refs[f"{name}/.zattrs"] = template[f"{own}/.zattrs"]
        for day in range(DAYS):
            for k, place in enumerate(chunk_table[own][day % FILES]):
                refs[f"{name}/{day}.{k // COLUMNS}.{k % COLUMNS}"] = list(place)
    path = tmp_path_factory.mktemp("kerchunk") / "ostia.json"
    path.write_text(json.dumps({"version": 1, "refs": refs}))
    return path


@pytest.fixture(scope="module")
def icechunk_store(
    granules: list[Path], chunk_table: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """One day as VirtualiZarr writes it, grown by icechunk and zarr to 138,060 references."""
    folder = tmp_path_factory.mktemp("icechunk") / "ostia.icechunk"
    write_icechunk(
        folder,
        {None: virtual_dataset(granules[:1])},
        container=f"{granules[0].parent.as_uri()}/",
    )
    storage = icechunk.local_filesystem_storage(str(folder))
    session = icechunk.Repository.open(storage).writable_session("main")
    root = zarr.open_group(session.store)
    for name in ("analysed_sst", "mask"):
        root[name].resize((DAYS, NLAT, NLON))
    root["time"].resize((DAYS,))
    root["time"][:] = FIRST + DAY * np.arange(DAYS)
    specs = [
        icechunk.VirtualChunkSpec([day, k // COLUMNS, k % COLUMNS], *place)
        for day in range(DAYS)
        for k, place in enumerate(chunk_table["analysed_sst"][day % FILES])
    ]
    session.store.set_virtual_refs("analysed_sst", specs)
    session.commit("full scale")
    return folder


def truth(granules: list[Path], box: tuple[slice, slice]) -> np.ndarray:
    fields = []
    for path in granules:
        with netCDF4.Dataset(path) as nc:
            nc.set_auto_maskandscale(False)
            fields.append(nc["analysed_sst"][0][box])
    return np.stack(fields)


@pytest.mark.parametrize("form", ["kerchunk", "icechunk"])
def test_ten_years_of_a_region_come_out_right_from_a_full_size_manifest(
    form: str, request: pytest.FixtureRequest, granules: list[Path], tmp_path: Path
) -> None:
    store = request.getfixturevalue(f"{form}_store")
    done = run_subset(store, granules, tmp_path, "--bbox", "20", "-5", "29.9", "4.9",
                      "--temporal", "1999-01-01T00:00:00Z", "2008-12-31T23:59:59Z")  # fmt: skip
    told = json.loads(done.stdout)
    days = 3653
    with netCDF4.Dataset(told["output"]) as nc:
        nc.set_auto_maskandscale(False)
        lat, lon = nc["lat"][:], nc["lon"][:]
        got, times = nc["analysed_sst"][:], nc["time"][:]
    rows = slice(int((lat[0] + 90) * 2), int((lat[0] + 90) * 2) + lat.size)
    columns = slice(int((lon[0] + 180) * 2), int((lon[0] + 180) * 2) + lon.size)
    assert (lat.size, lon.size, times.size) == (20, 20, days)
    fields = truth(granules, (rows, columns))
    first = (int(times[0]) - FIRST) // DAY
    expected = fields[(first + np.arange(days)) % FILES]
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("form", ["kerchunk", "icechunk"])
def test_series_at_a_place_is_that_of_all_15340_days_in_little_memory(
    form: str, request: pytest.FixtureRequest, granules: list[Path], tmp_path: Path
) -> None:
    store = request.getfixturevalue(f"{form}_store")
    done = run_subset(store, granules, tmp_path, "--point", "-30.1,12.4")
    row, column = int((12.4 + 90) * 2), int((-30.1 + 180) * 2)
    with netCDF4.Dataset(json.loads(done.stdout)["output"]) as nc:
        nc.set_auto_maskandscale(False)
        assert nc.featureType == "timeSeries"
        got, times = nc["analysed_sst"][:].ravel(), nc["time"][:]
    fields = truth(granules, (slice(row, row + 1), slice(column, column + 1))).ravel()
    np.testing.assert_array_equal(times, FIRST + DAY * np.arange(DAYS))
    np.testing.assert_array_equal(got, fields[np.arange(DAYS) % FILES])
    assert float(done.stderr.splitlines()[-1].split()[1]) < 800 * 2**10


@pytest.mark.parametrize("form", ["kerchunk", "icechunk"])
def test_ten_years_of_a_region_have_their_daily_means_in_little_memory(
    form: str, request: pytest.FixtureRequest, granules: list[Path], tmp_path: Path
) -> None:
    store = request.getfixturevalue(f"{form}_store")
    done = run_subset(store, granules, tmp_path, "--bbox", "-60", "30", "-0.1", "59.9",
                      "--temporal", "1999-01-01T00:00:00Z", "2008-12-31T23:59:59Z",
                      "--average", "area")  # fmt: skip
    with netCDF4.Dataset(json.loads(done.stdout)["output"]) as nc:
        got, counts, times = nc["analysed_sst"][:], nc["analysed_sst_count"][:], nc["time"][:]
    rows, columns = slice(240, 300), slice(240, 360)
    fields = truth(granules, (rows, columns))
    known = fields != -32768
    middles = np.radians(np.arange(30.25, 60, 0.5))
    squared = (2 - 1 / 298.257223563) / 298.257223563  # of WGS 84: its eccentricity
    rings = np.cos(middles) / (1 - squared * np.sin(middles) ** 2) ** 2
    weights = rings[None, :, None] * known
    kelvin = fields * 0.01 + 273.15
    means = (kelvin * weights).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))
    step = ((times - FIRST) // DAY).astype(int) % FILES
    assert len(got) == 3653
    np.testing.assert_allclose(got, means[step], rtol=1e-7)
    np.testing.assert_array_equal(counts, known.sum(axis=(1, 2))[step])
    assert float(done.stderr.splitlines()[-1].split()[1]) < 800 * 2**10


@pytest.mark.parametrize("form", ["kerchunk", "icechunk"])
def test_full_size_request_is_refused_within_seconds_and_little_memory(
    form: str, request: pytest.FixtureRequest, granules: list[Path], tmp_path: Path
) -> None:
    store = request.getfixturevalue(f"{form}_store")
    done = run_subset(store, granules, tmp_path, "--variable", "analysed_sst", refused=True)
    assert "HARMONY_VDS_MAX_" in done.stderr
    chunks = int(re.search(r"([\d,]+) chunks", done.stderr)[1].replace(",", ""))
    # The variable and its mask; a store that does not inline its grid mapping has one more.
    assert chunks - 2 * DAYS * ROWS * COLUMNS in (0, 1)
    seconds, kibibytes = map(float, done.stderr.splitlines()[-1].split())
    assert seconds < 30
    assert kibibytes < 2 * 2**20


def run_subset(
    store: Path, granules: list[Path], folder: Path, *options: str, refused: bool = False
) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, its time and peak memory on the last line."""
    code = (
        "import sys, time; from harmony_vds.cli.main import main; start = time.time()\n"
        "try: main()\n"
        # Not ru_maxrss: it starts with what the process had that made this one.
        "finally: print(f'\\n{time.time() - start:.1f}', open('/proc/self/status').read()"
        ".partition('VmHWM:')[2].split()[0], file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "subset", "--store", str(store), "--json",
               "--trust", str(granules[0].parent), "--output", str(folder), *options]  # fmt: skip
    if not refused:
        command += ["--variable", "analysed_sst"]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore",
                   "HARMONY_VDS_MAX_READ_BYTES": "2GiB"}  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
    assert (done.returncode != 0) == refused, done.stderr
    return done
