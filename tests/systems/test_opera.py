"""ASF OPERA DISP-S1: gzipped kerchunk JSON for each granule and for each frame's stack.

A stack's steps are files; their times are data variables. All references are S3's, and over https
the bucket is called OPERA.
"""

import base64
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numcodecs
import numpy as np
import pytest
import virtualizarr.accessor  # noqa: F401  gives datasets their .vz
import xarray as xr
from archive import EULA, SECRET, SESSION, Archive, archive
from invocation import CANARY, Outcome
from pyproj import CRS
from servers import upload
from systems.granules import Field, write_fields
from systems.kits import paths_of, raw
from systems.places import check_cut, inside, on_plane, window
from systems.published import CONCEPT, LAYOUTS, Publication, publishing
from world import (
    kerchunk_references,
    umm_granule,
    virtual_dataset,
    virtualizarr_references,
    write_stac,
)

OPERA = LAYOUTS["opera"]
BUCKET, FOLDER = OPERA["s3_prefix"].split("/")[2], OPERA["https_prefix"].split("/")[3]
SHORT_NAME = OPERA["short_name"]
DISPLACEMENT = "short_wavelength_displacement"
NY, NX = 138, 192  # a fiftieth of a frame, in an eighth of its chunks
SMALL_SIDE = OPERA["chunks"][1] // 8
FRAMES = {"F11116": (500_000.0, 4_000_000.0), "F11117": (500_000.0, 3_800_000.0)}
BOXES = {"F11116": (-117.0, 36.05, -114.9, 36.15), "F11117": (-117.0, 34.2, -114.9, 34.35)}
BOTH = [-116.98, 34.0, -116.95, 36.13]
REFERENCE = np.datetime64("2016-07-05T14:05:00", "ns")
DATES = np.array(["2016-07-29T14:05:38", "2016-08-22T14:05:40", "2016-09-15T14:05:41",
                  "2017-01-01T14:05:39"], "M8[ns]")  # fmt: skip
AUTUMN = {"start": "2016-08-22T14:05:40Z", "end": "2016-12-31T00:00:00Z"}  # the middle two
ZONE = CRS.from_epsg(32611).to_cf()
TEXT = {"id": "vlen-utf8"}


def name_of(frame: str, date: np.datetime64) -> str:
    day = np.datetime_as_string(date, "s").replace("-", "").replace(":", "")
    return f"OPERA_L3_DISP-S1_IW_{frame}_VV_20160705T140500Z_{day}Z_v1.0_20250408T000000Z"


def stack_key(frame: str) -> str:
    stem = f"OPERA_L3_DISP-S1_IW_{frame}_VV"
    return f"OPERA_L3_DISP-S1_STACK_V1/{stem}_V1/{stem}_{DISPLACEMENT}.zarr.json.gz"


def granule_key(name: str, suffix: str) -> str:
    return f"{SHORT_NAME}/{name}/{name}{suffix}"


def granule(
    root: Path, frame: str, step: int, shape: tuple[int, int] = (NY, NX), side: int = SMALL_SIDE
) -> Path:
    """An interferogram: rows from the north, in metres of the frame's zone, its edges not seen."""
    east, north = FRAMES[frame]
    random = np.random.default_rng((step, int(north)))
    ny, nx = shape
    seen = np.round(random.normal(0, 0.05, shape), 3).astype("f4")
    seen[:, : nx // 6] = np.nan
    own = {"grid_mapping": "spatial_ref", "units": "meters"}
    chunks = (side, side)
    fields = {
        "y": Field(("y",), north - 30.0 * np.arange(ny),
                   {"standard_name": "projection_y_coordinate", "units": "m"}),
        "x": Field(("x",), east + 30.0 * np.arange(nx),
                   {"standard_name": "projection_x_coordinate", "units": "m"}),
        "spatial_ref": Field((), np.array(0, "i4"), ZONE),
        DISPLACEMENT: Field(("y", "x"), seen, own, chunks=chunks, fill=np.float32(np.nan)),
        "recommended_mask": Field(("y", "x"), (seen > 0).astype("u1"), own, chunks=chunks,
                                  fill=np.uint8(255)),
    }  # fmt: skip
    path = root / granule_key(name_of(frame, DATES[step]), ".nc")
    write_fields(path, fields, title="OPERA_L3_DISP-S1 Product")
    with netCDF4.Dataset(path, "a") as nc:
        delay = nc.createGroup("corrections").createVariable(
            "ionospheric_delay", "f4", ("y", "x"), chunksizes=chunks, compression="zlib",
            shuffle=True, fill_value=np.float32(np.nan),
        )  # fmt: skip
        delay[...] = seen * 0.1
        nc.createGroup("identification").createVariable("frame_id", "i4", ())[...] = int(frame[1:])
        nc.createGroup("metadata").createVariable("disp_s1_version", str, ())[...] = "0.5.4"
    return path


def there(root: Path, path: Path) -> str:
    return f"s3://{BUCKET}/{path.relative_to(root).as_posix()}"


def write_gzipped(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(document).encode(), compresslevel=1))


def texts(values: Sequence[str], codec: dict[str, str], encoded: bytes) -> dict[str, str]:
    """References to an array of objects along the files, by any codec, its values inline."""
    meta = {"shape": [len(values)], "chunks": [len(values)], "dtype": "|O", "fill_value": None,
            "order": "C", "filters": [codec], "compressor": None, "zarr_format": 2}  # fmt: skip
    return {".zarray": json.dumps(meta), "0": f"base64:{base64.b64encode(encoded).decode()}",
            ".zattrs": json.dumps({"_ARRAY_DIMENSIONS": ["source_file_name"]})}  # fmt: skip


def stack(root: Path, files: Sequence[Path]) -> dict[str, Any]:
    """A frame's stack by VirtualiZarr, with the arrays of objects that the publication has."""
    along = "source_file_name"
    parts = [virtual_dataset([path])[[DISPLACEMENT, "x", "y"]] for path in files]
    stacked = xr.concat([part[[DISPLACEMENT]].expand_dims(along) for part in parts], dim=along,
                        data_vars="all", coords="minimal", compat="override",
                        join="override")  # fmt: skip
    stacked = stacked.assign(
        spatial_ref=xr.Variable((), np.int32(0), ZONE),
        reference_datetime=xr.Variable((along,), np.full(len(files), REFERENCE)),
        secondary_datetime=xr.Variable((along,), DATES[: len(files)]),
    )
    path = root / "stack.json"
    virtualizarr_references(stacked, path, lambda url: there(root, Path(url[7:])))
    document: dict[str, Any] = json.loads(path.read_text())
    path.unlink()
    names = [path.name for path in files]
    objects = np.array(names, object)
    for name, values in ((along, names), ("netcdf_uri", [there(root, own) for own in files]),
                         ("product_version", ["1.0"] * len(files))):  # fmt: skip
        encoded = numcodecs.VLenUTF8().encode(np.array(values, object))
        for key, own in texts(values, TEXT, encoded).items():
            document["refs"][f"{name}/{key}"] = own
    for key, own in texts(names, {"id": "pickle"}, numcodecs.Pickle().encode(objects)).items():
        document["refs"][f"bytes/{key}"] = own
    return document


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The granules of each frame, each with its store beside it; and the frames' stacks."""
    root = tmp_path_factory.mktemp("opera")
    found = {}
    for frame in FRAMES:
        files = [granule(root, frame, step) for step in range(len(DATES))]
        for path in files:
            own = kerchunk_references([path], lambda url: there(root, Path(url[7:])))
            write_gzipped(path.with_suffix(".zarr.json.gz"), own)
        write_gzipped(root / stack_key(frame), stack(root, files))
        found[frame] = files
    return found


@pytest.fixture(scope="module")
def centre(s3: str, frames: dict[str, list[Path]]) -> Iterator[Archive]:
    upload(s3, BUCKET, frames["F11116"][0].parents[2])
    with archive(s3, folders={FOLDER: BUCKET}) as own:
        yield own


def record(centre: Archive, number: int, frame: str, date: np.datetime64) -> dict[str, Any]:
    """A granule's record: its data and store over both ways, and its frame's stack in S3."""
    name = name_of(frame, date)
    keys = [granule_key(name, ".nc"), granule_key(name, ".zarr.json.gz"), stack_key(frame)]
    links = [{"URL": f"{centre.endpoint}", "Type": "VIEW RELATED INFORMATION"}]
    for key in keys:
        form = {"Format": "Zarr"} if "zarr" in key else {}
        links += [
            {"URL": f"{centre.tea.url}/{FOLDER}/{key}", "Type": "GET DATA", **form},
            {"URL": f"s3://{BUCKET}/{key}", "Type": "GET DATA VIA DIRECT ACCESS", **form},
        ]
    moment = f"{np.datetime_as_string(date, 'ms')}Z"
    return umm_granule(f"G{number}-TEST", CONCEPT, name, links, box=BOXES[frame],
                       times=(moment, moment))  # fmt: skip


@pytest.fixture
def published(centre: Archive, tmp_path: Path) -> Iterator[Publication]:
    centre.fault = ""
    settings = {"HARMONY_VDS_S3_ENDPOINT_URL": centre.s3.url,
                "HARMONY_VDS_TOKEN_HOSTS": centre.tea.url,
                "HARMONY_VDS_TRUSTED_PREFIXES": f"{centre.tea.url}/"}  # fmt: skip
    with publishing(tmp_path, short_name=SHORT_NAME, **settings) as publication:
        publication.publish(DirectDistributionInformation={
            "Region": "us-west-2", "S3BucketAndObjectPrefixNames": [f"{BUCKET}/{SHORT_NAME}"],
            "S3CredentialsAPIEndpoint": centre.endpoint,
            "S3CredentialsAPIDocumentationURL": f"{centre.tea.url}/s3credentialsREADME",
        })  # fmt: skip
        for number, (frame, date) in enumerate((f, d) for f in FRAMES for d in DATES):
            own = record(centre, number + 1, frame, date)
            publication.records[own["meta"]["concept-id"]] = own
        centre.s3.forget()
        centre.tea.forget()
        yield publication


def cells_in(path: Path, box: Sequence[float]) -> np.ndarray:
    """Which cells of a frame have their centres in a box."""
    found = inside(*on_plane(32611, raw(path, "x"), raw(path, "y")), box)
    assert found.any()
    return found


def check_stack(data: Path, files: Sequence[Path], box: Sequence[float]) -> None:
    """An output holds these granules' steps, cut to a box, with their place and times."""
    cells = cells_in(files[0], box)
    expected = np.stack([raw(path, DISPLACEMENT) for path in files])
    check_cut(raw(data, DISPLACEMENT), expected, cells, np.float32(np.nan))
    for axis, own in zip(("y", "x"), window(cells), strict=True):
        np.testing.assert_array_equal(raw(data, axis), raw(files[0], axis)[own])
    with netCDF4.Dataset(data) as nc:
        assert list(nc["source_file_name"][...]) == [path.name for path in files]
        assert nc[DISPLACEMENT].grid_mapping == "spatial_ref"
        assert nc["spatial_ref"].crs_wkt == ZONE["crs_wkt"]


def shows_no_secret(outcome: Outcome) -> bool:
    told = outcome.stderr + json.dumps(outcome.error)
    return not any(secret in told for secret in (CANARY, SECRET, SESSION))


def test_box_over_two_frames_chooses_their_stacks_and_cuts_these(
    published: Publication, centre: Archive, frames: dict[str, list[Path]], tmp_path: Path
) -> None:
    outcome = published.invoke(tmp_path, [DISPLACEMENT], bbox=BOTH, temporal=AUTUMN,
                               short_name=SHORT_NAME)  # fmt: skip
    assert outcome.status == 0, outcome.error
    for item, data, files in zip(outcome.items, outcome.data, frames.values(), strict=True):
        check_stack(data, files[1:3], BOTH)
        cell = 2 * 30 / 85_000  # degrees; what cells at the edges reach beyond their centres
        west, south, east, north = item["bbox"]
        assert BOTH[0] - cell < west < east < BOTH[2] + cell
        assert BOTH[1] - cell < south < north < BOTH[3] + cell
        assert item["properties"]["start_datetime"] == "2016-08-22T14:05:40Z"
        assert item["properties"]["end_datetime"] == "2016-09-15T14:05:41Z"
        with netCDF4.Dataset(data) as nc:
            assert "taken from secondary_datetime" in nc.virtual_store_notes
    assert "secondary_datetime" in outcome.stderr
    assert centre.objects(centre.s3) > 0
    assert not any(path.endswith(".nc") for path in centre.tea.paths())
    assert shows_no_secret(outcome)


def test_whole_stack_comes_outside_the_region_too_without_what_only_unpickling_would_read(
    published: Publication, centre: Archive, frames: dict[str, list[Path]], tmp_path: Path
) -> None:
    """Over https, where the links of a granule tell that the bucket is."""
    centre.fault = "outside"
    around = [-117.1, 34.25, -116.9, 34.4]
    outcome = published.invoke(tmp_path, bbox=around, short_name=SHORT_NAME)
    assert outcome.status == 0, outcome.error
    assert centre.objects(centre.s3) == 0
    (data,) = outcome.data
    check_stack(data, frames["F11117"], around)
    with netCDF4.Dataset(data) as nc:
        assert "bytes" not in nc.variables
        assert "bytes cannot be read and is left out" in nc.virtual_store_notes
        assert "pickle" in nc.virtual_store_notes
        assert list(nc["product_version"][...]) == ["1.0"] * len(DATES)
        times = nc["secondary_datetime"]
        told = netCDF4.num2date(times[...], times.units, times.calendar)
    assert [str(own) for own in told] == [str(own).replace("T", " ")[:19] for own in DATES]


def test_selected_granule_is_answered_from_its_own_store_with_all_groups(
    published: Publication, centre: Archive, frames: dict[str, list[Path]], tmp_path: Path
) -> None:
    path = frames["F11116"][1]
    https = f"{centre.tea.url}/{FOLDER}/{granule_key(path.stem, '.zarr.json.gz')}"
    when = f"{np.datetime_as_string(DATES[1], 'ms')}Z"
    item = {"concept_id": "G2-TEST", "name": path.stem, "box": BOXES["F11116"],
            "times": (when, when), "assets": {"data": {"href": https}}}  # fmt: skip
    catalog = write_stac(tmp_path / "input", CONCEPT, [item], published.cmr.url)
    outcome = published.invoke(tmp_path, stac=str(catalog), bbox=BOTH, short_name=SHORT_NAME)
    assert outcome.status == 0, outcome.error
    (data,) = outcome.data
    assert paths_of(data) == paths_of(path)
    cells, unknown = cells_in(path, BOTH), np.float32(np.nan)
    for name, fill in ((DISPLACEMENT, unknown), ("recommended_mask", 255),
                       ("corrections/ionospheric_delay", unknown)):  # fmt: skip
        check_cut(raw(data, name), raw(path, name), cells, fill)
    assert raw(data, "identification/frame_id") == raw(path, "identification/frame_id")
    assert outcome.items[0]["properties"]["start_datetime"] == "2016-08-22T14:05:40Z"


def test_box_on_the_one_store_of_a_collection_cuts_it_too(
    published: Publication, frames: dict[str, list[Path]], tmp_path: Path
) -> None:
    published.publish(f"s3://{BUCKET}/{stack_key('F11116')}")
    outcome = published.invoke(tmp_path, [DISPLACEMENT], bbox=BOTH, short_name=SHORT_NAME)
    assert outcome.status == 0, outcome.error
    check_stack(outcome.data[0], frames["F11116"], BOTH)


def test_frames_that_do_not_state_their_zone_come_whole_and_say_so(
    published: Publication, frames: dict[str, list[Path]], tmp_path: Path
) -> None:
    """The record of a frame tells that the box meets it; nothing tells which cells do."""
    stack = frames["F11116"][0].parents[2] / stack_key("F11116")
    document = json.loads(gzip.decompress(stack.read_bytes()))
    del document["refs"]["spatial_ref/.zattrs"], document["refs"]["spatial_ref/.zarray"]
    folder = published.root / "unstated"
    folder.mkdir(exist_ok=True)
    (folder / "stack.zarr.json").write_text(json.dumps(document))
    for own in published.records.values():
        if own["meta"]["concept-id"].startswith("G"):
            own["umm"]["RelatedUrls"] = [
                {"URL": published.url(folder / "stack.zarr.json"), "Type": "GET DATA",
                 "Format": "Zarr"}
            ]  # fmt: skip
    published.environment["HARMONY_VDS_TRUSTED_PREFIXES"] += f",{published.archive.url}/"
    outcome = published.invoke(tmp_path, [DISPLACEMENT], bbox=BOTH, short_name=SHORT_NAME)
    assert outcome.status == 0, outcome.error
    files = frames["F11116"]
    got = raw(outcome.data[0], DISPLACEMENT)
    expected = np.stack([raw(path, DISPLACEMENT) for path in files])
    np.testing.assert_array_equal(got.view("u4"), expected.view("u4"))
    with netCDF4.Dataset(outcome.data[0]) as nc:
        told = nc.virtual_store_notes
    assert "does not cut it: all of its rows and columns are here. A bounding box" in told
    assert "reference system" in told


def test_licence_not_yet_accepted_is_told_with_the_page_to_accept_it(
    published: Publication, centre: Archive, tmp_path: Path
) -> None:
    """By the endpoint for credentials, where https is not taken instead."""
    centre.fault = "eula"
    published.environment["HARMONY_VDS_S3"] = "direct"
    outcome = published.invoke(tmp_path, [DISPLACEMENT], bbox=BOTH, short_name=SHORT_NAME)
    assert outcome.status != 0
    assert EULA in outcome.error["error"]
    assert shows_no_secret(outcome)


OPENING = """
import json, resource, sys
from pathlib import Path
import numpy as np
from harmony_vds.access.credentials import Credentials
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.request import Request, Source
from harmony_vds.pipeline import Services, prepare
from harmony_vds.settings import Settings
from datetime import datetime
href, trusted, name, start, end, target = sys.argv[1:]
when = TimeRange(datetime.fromisoformat(start), datetime.fromisoformat(end))
request = Request((Source("", "STACK", variables=(name,)),), temporal=when)
with Services.of(Settings(trusted_prefixes=(trusted,)), Credentials.of_token(None)) as services:
    (prepared,) = prepare(request, services, href)
    used = resource.getrusage(resource.RUSAGE_SELF)
    steps = prepared.plan.selection["/source_file_name"].positions.tolist()
    window = prepared.store.tree[name][steps, 1000:1600, 2000:2600].values
np.save(target, window)
# Not ru_maxrss: it starts with what the process had that made this one.
held = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "rss": int(held) * 1024,
                  "steps": steps, "chunks": prepared.plan.cost.chunks,
                  "missing": prepared.plan.cost.missing}))
"""
WHOLE = OPERA["dimensions"]
SIDE = OPERA["chunks"][1]
OTHERS = ("timeseries_density", "temporal_coherence", "phase_similarity")


def whole_stack(root: Path, files: Sequence[Path]) -> dict[str, Any]:
    """A stack of the published size: step n and chunk (i, j) are those of file n and (i, j)
    modulo what the files hold, which is two chunks by two.
    """
    steps, rows, columns = (WHOLE[name] for name in ("source_file_name", "y", "x"))
    small = stack(root, files)["refs"]
    array = json.loads(small[f"{DISPLACEMENT}/.zarray"]) | {"shape": [steps, rows, columns]}
    own = {tuple(map(int, key.rpartition("/")[2].split("."))): place
           for key, place in small.items()
           if key.startswith(f"{DISPLACEMENT}/") and isinstance(place, list)}  # fmt: skip
    refs = {key: small[key] for key in (".zgroup", ".zattrs")}
    for name in (DISPLACEMENT, *OTHERS):
        refs[f"{name}/.zarray"] = json.dumps(array)
        refs[f"{name}/.zattrs"] = small[f"{DISPLACEMENT}/.zattrs"]
        for n in range(steps):
            for i in range(-(-rows // SIDE)):
                for j in range(-(-columns // SIDE)):
                    refs[f"{name}/{n}.{i}.{j}"] = own[n % len(files), i % 2, j % 2]
    days = (np.arange(steps) * 12).astype("<i8")
    meta = {"shape": [steps], "chunks": [steps], "dtype": "<i8", "fill_value": None, "order": "C",
            "filters": None, "compressor": None, "zarr_format": 2}  # fmt: skip
    refs["secondary_datetime/.zarray"] = json.dumps(meta)
    refs["secondary_datetime/.zattrs"] = json.dumps(
        {"_ARRAY_DIMENSIONS": ["source_file_name"], "units": "days since 2016-07-29"}
    )
    refs["secondary_datetime/0"] = f"base64:{base64.b64encode(days.tobytes()).decode()}"
    return {"version": 1, "refs": refs}


@pytest.mark.scale
def test_stack_of_a_million_and_a_half_references_opens_in_seconds_and_little_memory(
    tmp_path: Path,
) -> None:
    files = [granule(tmp_path, "F11116", step, (2 * SIDE, 2 * SIDE), SIDE) for step in range(2)]
    here = {there(tmp_path, path): path.as_uri() for path in files}
    document = whole_stack(tmp_path, files)
    ranges = [own for own in document["refs"].values() if isinstance(own, list)]
    assert len(ranges) > 1_590_000
    for own in {id(own): own for own in ranges}.values():
        own[0] = here[own[0]]
    write_gzipped(tmp_path / "stack.zarr.json.gz", document)
    arguments = [(tmp_path / "stack.zarr.json.gz").as_uri(), f"{tmp_path.as_uri()}/", DISPLACEMENT,
                 "2020-01-01T00:00:00+00:00", "2020-01-25T00:00:00+00:00",
                 str(tmp_path / "window.npy")]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", OPENING, *arguments], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    days = np.datetime64("2016-07-29") + 12 * np.arange(WHOLE["source_file_name"])
    inside = (days >= np.datetime64("2020-01-01")) & (days <= np.datetime64("2020-01-25"))
    assert told["steps"] == np.flatnonzero(inside).tolist()
    assert told["missing"] == 0
    assert told["cpu"] < 15
    assert told["rss"] < 1.5 * 2**30
    expected = [np.tile(raw(files[step % 2], DISPLACEMENT), (4, 6))[1000:1600, 2000:2600]
                for step in told["steps"]]  # fmt: skip
    window = np.load(tmp_path / "window.npy")
    np.testing.assert_array_equal(window.view("u4"), np.stack(expected).view("u4"))
