"""Headers of source files tell where a store does not describe them, before data are read."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from dmrpp import write_dmrpp
from servers import failing_server, file_server
from systems.kits import ask, request, services, write_store
from world import kerchunk_references, virtual_dataset, virtualizarr_references, write_references

from harmony_vds.errors import StoreError
from harmony_vds.pipeline import prepare

DAY = {
    "sst": {"scale_factor": 0.01, "add_offset": 273.15, "units": "kelvin"},
    "seen": {"units": "seconds since 2024-01-01", "calendar": "standard"},
}


def write(
    path: Path, form: str = "NETCDF4", *, dtype: str = "i2", fill: int | None = -9999,
    endian: str = "native", chunks: tuple[int, ...] = (1, 4, 6), shuffle: bool = True,
    **attributes: Mapping[str, Any],
) -> Path:  # fmt: skip
    """A granule of one day, with the times at which its cells were seen."""
    is_classic = form != "NETCDF4"
    with netCDF4.Dataset(path, "w", format=form) as nc:
        for name, size in (("time", 1), ("lat", 4), ("lon", 6)):
            nc.createDimension(name, size)
        nc.createVariable("time", "i4", ("time",))[:] = [int(path.stem)]
        nc["time"].setncatts({"units": "days since 2024-01-01", "standard_name": "time"})
        for name, values in (("lat", [-60, -20, 20, 60]), ("lon", [-150, -90, -30, 30, 90, 150])):
            nc.createVariable(name, "f4", (name,))[:] = values
            nc[name].units = f"degrees_{'north' if name == 'lat' else 'east'}"
        packed = {"zlib": True, "shuffle": shuffle, "chunksizes": chunks}
        own = nc.createVariable("sst", dtype, ("time", "lat", "lon"), fill_value=fill,
                                **({} if is_classic else {**packed, "endian": endian}))  # fmt: skip
        seen = nc.createVariable("seen", "i4", ("time", "lat", "lon"),
                                 **({} if is_classic else packed))  # fmt: skip
        for variable in (own, seen):
            variable.set_auto_maskandscale(False)
            variable[:] = np.arange(24).reshape(1, 4, 6)
            told = {**DAY[variable.name], **attributes.get(variable.name, {})}
            variable.setncatts({key: value for key, value in told.items() if value is not None})
    return path


def references(path: Path) -> dict[str, Any]:
    """The references of one granule, in this process's memory."""
    target = path.with_suffix(".json")
    virtualizarr_references(virtual_dataset([path]), target)
    return json.loads(target.read_text())


def misdescribed(folder: Path, described: Path, pointed: Path) -> str:
    """A store that describes one granule and points to another."""
    document, other = references(described), references(pointed)
    document["refs"] |= {
        key: own for key, own in other["refs"].items() if key.startswith(("sst/0", "seen/0"))
    }
    return write_references(folder / "store.json", document).as_uri()


def compared(href: str, folder: Path, variable: str, **more: Any) -> None:
    with services(trusted=[f"{folder.as_uri()}/"], spot_check="refuse", **more) as using:
        prepare(request([f"/{variable}"]), using, href)


DIFFERENCES: dict[str, tuple[dict[str, Any], str, str]] = {
    "scale": ({"sst": {"scale_factor": 0.02}}, "sst", "scale_factor 0.01 in the store and 0.02"),
    "no scale": ({"sst": {"scale_factor": None}}, "sst", "scale_factor 0.01 in the store and none"),
    "offset": ({"sst": {"add_offset": 0.0}}, "sst", "add_offset 273.15 in the store and 0.0"),
    "fill": ({"fill": 0}, "sst", "_FillValue -9999 in the store and 0"),
    "no fill": ({"fill": None}, "sst", "_FillValue -9999 in the store and none"),
    "units": ({"sst": {"units": "celsius"}}, "sst", "units 'kelvin' in the store and 'celsius'"),
    "type": ({"dtype": "u2", "fill": 9999}, "sst", "the type '?<i2'? in the store and '?<u2"),
    "byte order": ({"dtype": ">i2", "endian": "big"}, "sst", "type '?<i2'? in the store and '?>i2"),
    "chunks": ({"chunks": (1, 2, 6)}, "sst", r"chunks of \(1, 4, 6\) in the store and \(1, 2, 6"),
    "filters": ({"shuffle": False}, "sst", "filters shuffle and zlib in the store and zlib in"),
    "epoch": ({"seen": {"units": "seconds since 2024-01-02"}}, "seen",
              "units 'seconds since 2024-01-01' in the store and 'seconds since 2024-01-02'"),
    "unit": ({"seen": {"units": "hours since 2024-01-01"}}, "seen", "and 'hours since 2024-01-01'"),
    "calendar": ({"seen": {"calendar": "noleap"}}, "seen", "standard in the store and noleap in"),
}  # fmt: skip


@pytest.mark.parametrize("case", DIFFERENCES)
def test_store_that_describes_other_files_than_it_points_to_is_refused(
    case: str, tmp_path: Path
) -> None:
    change, variable, said = DIFFERENCES[case]
    href = misdescribed(tmp_path, write(tmp_path / "1.nc"), write(tmp_path / "2.nc", **change))
    with pytest.raises(StoreError, match=rf"{variable} has .*{said}.*2\.nc") as caught:
        compared(href, tmp_path, variable)
    assert "write the store anew" in str(caught.value)


WRITTEN = [{"id": "shuffle", "elementsize": 2}, {"id": "zlib", "level": 4}]


def unpacking(scale: float, offset: float = 0) -> dict[str, Any]:
    return {"id": "fixedscaleoffset", "scale": scale, "offset": offset, "dtype": "<f8",
            "astype": "<i2"}  # fmt: skip


@pytest.mark.parametrize(
    ("document", "lie", "said"),
    [
        (".zarray", {"dtype": "|S2", "fill_value": None}, r"the type '?\|S2'? in the store"),
        (".zarray", {"filters": [{"id": "shuffle", "elementsize": 4}, {"id": "zlib", "level": 4}]},
         "shuffled elements of 4 bytes in the store and 2 in"),
        (".zarray", {"filters": [{"id": "delta", "dtype": "<i2"}, *WRITTEN]},
         "the filters delta and shuffle and zlib in the store and shuffle and zlib in"),
        (".zarray", {"filters": [{"id": "delta", "dtype": "<i2"}, *WRITTEN[1:]]},
         "the filters delta and zlib in the store and shuffle and zlib in"),
        (".zarray", {"filters": WRITTEN, "order": "F"},
         "the filters transpose and shuffle and zlib in the store and shuffle and zlib in"),
        (".zarray", {"filters": [unpacking(4), *WRITTEN], "dtype": "<f8"},
         "scale_factor 0.0025 in the store and 0.01 in"),
        (".zattrs", {"_Unsigned": "true"}, "_Unsigned 'true' in the store and none in"),
        (".zattrs", {"scale_factor": "much"}, "scale_factor 'much' in the store and 0.01 in"),
        (".zattrs", {"add_offset": [1, 2]}, r"add_offset \[1, 2\] in the store and 273.15 in"),
    ],
)  # fmt: skip
def test_lies_by_which_chunks_still_decode_are_found(
    document: str, lie: dict[str, Any], said: str, tmp_path: Path
) -> None:
    told = references(write(tmp_path / "1.nc"))
    refs, key = told["refs"], f"sst/{document}"
    refs[key] = json.dumps({**json.loads(refs[key]), "compressor": None, **lie})
    href = write_references(tmp_path / "store.json", told).as_uri()
    with pytest.raises(StoreError, match=rf"sst has {said}"):
        compared(href, tmp_path, "sst")


def contiguous(folder: Path, **change: Any) -> str:
    """A store of a granule, all by references, of which one member is changed."""
    document = kerchunk_references([write(folder / "1.nc")], inline=0)
    for key, change_of in change.items():
        document["refs"][key.replace("__", "/")] = change_of(document["refs"])
    return write_references(folder / "store.json", document).as_uri()


def test_values_in_one_piece_are_looked_for_where_they_lie(tmp_path: Path) -> None:
    compared(contiguous(tmp_path), tmp_path, "lat")
    href = contiguous(tmp_path, lat__0=lambda refs: [*refs["lon/0"][:2], refs["lat/0"][2]])
    with pytest.raises(StoreError, match=r"lat has its bytes from [\d,]+ to [\d,]+ in the store"):
        compared(href, tmp_path, "lat")


def test_filter_over_values_without_chunks_is_told(tmp_path: Path) -> None:
    def shuffled(refs: dict[str, Any]) -> str:
        told = json.loads(refs["lat/.zarray"])
        return json.dumps(told | {"filters": [{"id": "shuffle", "elementsize": 4}]})

    with pytest.raises(StoreError, match="lat has the filters shuffle in the store and none in"):
        compared(contiguous(tmp_path, **{"lat__.zarray": shuffled}), tmp_path, "lat")


def test_fill_of_chunks_that_the_store_lacks_is_that_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "2.nc", chunks=(1, 2, 6))
    document = references(tmp_path / "2.nc")
    shape = json.loads(document["refs"]["sst/.zarray"])
    del document["refs"]["sst/0.1.0"]
    for fill, told in ((-9999, False), (0, True), (None, True)):
        document["refs"]["sst/.zarray"] = json.dumps(shape | {"fill_value": fill})
        href = write_references(tmp_path / "store.json", document).as_uri()
        if told:
            with pytest.raises(StoreError, match="for what is not written 0 in the store and -99"):
                compared(href, tmp_path, "sst")
        else:
            compared(href, tmp_path, "sst")


def test_sidecar_of_another_shape_than_its_file_is_told(tmp_path: Path) -> None:
    granule = write(tmp_path / "1.nc")
    sidecar = write_dmrpp(granule, tmp_path / "1.nc.dmrpp")
    compared(sidecar.as_uri(), tmp_path, "sst")
    text = sidecar.read_text()
    sidecar.write_text(text.replace('name="lat" size="4"', 'name="lat" size="3"'))
    with pytest.raises(StoreError, match=r"sst has the shape \(1, 3, 6\) in the store and \(1, 4"):
        compared(sidecar.as_uri(), tmp_path, "sst")


def test_packing_undone_by_a_filter_is_that_of_the_file(tmp_path: Path) -> None:
    document = references(write(tmp_path / "1.nc"))
    refs = document["refs"]
    array, attributes = (json.loads(refs[f"sst/{own}"]) for own in (".zarray", ".zattrs"))
    plain = {k: v for k, v in attributes.items() if k not in ("scale_factor", "add_offset")}
    refs["sst/.zattrs"] = json.dumps(plain)
    changed = {"dtype": "<f8", "compressor": None, "fill_value": None}
    for scale in (100, 50):
        filters = [unpacking(scale, 273.15), *WRITTEN]
        refs["sst/.zarray"] = json.dumps(array | changed | {"filters": filters})
        href = write_references(tmp_path / "store.json", document).as_uri()
        if scale == 100:
            compared(href, tmp_path, "sst")
        else:
            with pytest.raises(StoreError, match=r"scale_factor 0\.02 in the store and 0\.01 in"):
                compared(href, tmp_path, "sst")


@pytest.mark.parametrize("case", ["scale", "fill", "epoch"])
def test_header_of_classic_netcdf_is_read_as_well(case: str, tmp_path: Path) -> None:
    change, variable, said = DIFFERENCES[case]
    described = write(tmp_path / "1.nc", "NETCDF3_CLASSIC")
    pointed = write(tmp_path / "2.nc", "NETCDF3_CLASSIC", **change)
    with pytest.raises(StoreError, match=rf"{variable} has .*{said}.*2\.nc"):
        compared(misdescribed(tmp_path, described, pointed), tmp_path, variable)


SAME: dict[str, dict[str, Any]] = {
    "other digits": {"sst": {"scale_factor": np.float32(0.01), "add_offset": np.float32(273.15)}},
    "other words of an epoch": {"seen": {"units": "second since 2024-1-1 00:00:00"}},
    "another name of a calendar": {"seen": {"calendar": "gregorian"}},
    "spaces": {"sst": {"units": "Kelvin "}},
    "nothing that decides values": {"sst": {"long_name": "of one day"}},
}


@pytest.mark.parametrize(
    ("form", "case"), [*(("NETCDF4", own) for own in SAME), ("NETCDF3_CLASSIC", "other digits")]
)
def test_same_meaning_in_other_words_is_no_difference(
    form: str, case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    described, pointed = tmp_path / "1.nc", tmp_path / "2.nc"
    href = misdescribed(tmp_path, write(described, form), write(pointed, form, **SAME[case]))
    with caplog.at_level(logging.INFO, "harmony_vds"):
        compared(href, tmp_path, "sst")
        compared(href, tmp_path, "seen")
    assert len([own for own in caplog.messages if own.startswith("Compared")]) == 2


@pytest.fixture
def drifting(tmp_path: Path) -> Path:
    """Four granules, the last of which is packed otherwise."""
    for day in (1, 2, 3):
        write(tmp_path / f"{day}.nc")
    write(tmp_path / "4.nc", sst={"scale_factor": 0.02})
    return tmp_path


@pytest.fixture
def joined(drifting: Path) -> Callable[[str], str]:
    """Writes the store of all four below a URL, described by the first."""

    def written(base: str) -> str:
        last = references(drifting / "4.nc")["refs"]
        whole = virtual_dataset([drifting / f"{day}.nc" for day in (1, 2, 3)])
        target = drifting / "store.json"
        virtualizarr_references(whole, target)
        document = json.loads(target.read_text())
        for name in ("time", "sst", "seen"):
            shape = json.loads(document["refs"][f"{name}/.zarray"])
            shape["shape"][0] = 4
            document["refs"][f"{name}/.zarray"] = json.dumps(shape)
        time = np.array([1, 2, 3, 4], json.loads(document["refs"]["time/.zarray"])["dtype"])
        described = json.loads(document["refs"]["time/.zarray"])
        described |= {"chunks": [4], "compressor": None, "filters": None}
        document["refs"]["time/.zarray"] = json.dumps(described)
        document["refs"] = {k: v for k, v in document["refs"].items() if not k.startswith("time/0")}
        document["refs"] |= {f"{name}/3.0.0": last[f"{name}/0.0.0"] for name in ("sst", "seen")}
        document["refs"]["time/0"] = time.tobytes().decode("latin-1")
        text = json.dumps(document).replace(f"{drifting.as_uri()}/", base)
        target.write_text(text.replace(f"{drifting}/", base))
        return target.as_uri()

    return written


def days(first: int, last: int) -> tuple[datetime, datetime]:
    return datetime(2024, 1, 1 + first, tzinfo=UTC), datetime(2024, 1, 1 + last, 12, tzinfo=UTC)


def test_drift_inside_a_series_is_found_only_where_it_is_asked_for(
    drifting: Path, joined: Callable[[str], str]
) -> None:
    href = joined(f"{drifting.as_uri()}/")
    with services(trusted=[f"{drifting.as_uri()}/"], spot_check="refuse") as using:
        prepare(request(["/sst"], times=days(1, 3)), using, href)
        prepare(request(["/seen"]), using, href)
        with pytest.raises(StoreError, match=r"sst has scale_factor 0.01 .* 0.02 in .*4\.nc"):
            prepare(request(["/sst"]), using, href)


def test_warning_names_the_difference_and_leaves_bytes_as_they_are(
    drifting: Path, joined: Callable[[str], str], tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    href, digests = joined(f"{drifting.as_uri()}/"), set()
    for choice in ("warn", "off"):
        caplog.clear()
        with services(trusted=[f"{drifting.as_uri()}/"], spot_check=choice) as using:
            out = ask(request(["/sst"]), href, using, tmp_path / choice).output
        digests.add(out.checksum)
        warned = [own for own in caplog.messages if "does not describe its source files" in own]
        assert len(warned) == (choice == "warn")
    assert len(digests) == 1


def test_two_files_are_asked_a_few_small_ranges_each(
    drifting: Path, joined: Callable[[str], str]
) -> None:
    with file_server(drifting) as archive:
        href = joined(f"{archive.url}/")
        trusted = [f"{drifting.as_uri()}/", f"{archive.url}/"]
        for choice, files in (("off", set()), ("warn", {"/1.nc", "/4.nc"})):
            archive.forget()
            with services(trusted=trusted, spot_check=choice) as using:
                own = prepare(request(["/sst"]), using, href)[0]
                before = using.access.fetcher.traffic.requests
            held = {path for path in archive.paths() if path.endswith(".nc")}
            assert held == files
            assert len(archive.asked) <= 6 * len(files)
            assert sum(asked.sent for asked in archive.asked) <= 2**18
            assert before <= 1  # the store; headers are no part of what the price is held to
            assert own.plan.cost.requests == 4


def test_sources_that_cannot_be_read_are_not_compared(
    drifting: Path, joined: Callable[[str], str]
) -> None:
    with failing_server(503, "busy") as archive:
        href = joined(f"{archive.url}/")
        trusted = [f"{drifting.as_uri()}/", f"{archive.url}/"]
        with services(trusted=trusted, spot_check="refuse") as using:
            prepare(request(["/sst"]), using, href)
        assert sorted(archive.paths()) == ["/1.nc", "/4.nc"]  # one try each, none again


def test_no_header_is_asked_of_a_place_that_nobody_trusts(
    drifting: Path, joined: Callable[[str], str]
) -> None:
    with file_server(drifting) as stranger:
        href = joined(f"{stranger.url}/")
        with services(trusted=[f"{drifting.as_uri()}/"], spot_check="refuse") as using:
            prepare(request(["/sst"]), using, href)
        assert stranger.asked == []


# ---------------------------------------------------------------- real granules


@pytest.fixture(scope="module")
def series(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, int], str]:
    """Writes an icechunk store over the first granules of a kit."""

    def written(pattern: str, most: int) -> str:
        files = sorted(data.glob(pattern))[:most]
        own = tmp_path_factory.mktemp("kit")
        name = write_store("icechunk", files, own, f"{files[0].resolve().parent.as_uri()}/")
        return f"{own.as_uri()}/{name}"

    return written


KITS: dict[tuple[str, int], tuple[list[str], dict[str, str]]] = {
    ("s01_*/*.nc", 5): (["/green_var", "/blue_var"], {}),
    ("s03_*/*.nc", 3): (["/analysed_sst", "/sst_anomaly"], {}),
    ("s06_*/*.nc", 2): ([], {"/tas": "time_bnds"}),
    ("s27_*/*20200102v7.nc", 1): (["/wind_speed", "/sst_dtime"], {}),
}
"""Granules → variables that agree, and variables whose bounds do not."""


@pytest.mark.shared
@pytest.mark.parametrize("kit", KITS)
def test_real_series_differ_only_where_their_files_do(
    kit: tuple[str, int], series: Callable[..., str], data: Path
) -> None:
    right, wrong = KITS[kit]
    href = series(*kit)
    trusted = [f"{data.as_uri()}/", f"{href.rpartition('/')[0]}/"]
    with services(trusted=trusted, spot_check="refuse") as using:
        for variable in right:
            prepare(request([variable]), using, href)
        for variable, found in wrong.items():
            with pytest.raises(StoreError, match=rf"{found} has units .* since .* since "):
                prepare(request([variable]), using, href)


@pytest.mark.shared
def test_real_sidecar_of_an_earlier_file_is_told(data: Path, tmp_path: Path) -> None:
    """Of a published pair whose file was written anew: its values in one piece read as zeros."""
    for path in data.glob("s30_*/FletcherShuffle.nc4*"):
        shutil.copy2(path, tmp_path)
    href = (tmp_path / "FletcherShuffle.nc4.dmrpp").as_uri()
    with pytest.raises(StoreError, match="X has its bytes from 11,616 to 11,652 in the store and"):
        compared(href, tmp_path, "X")
