"""A small world to test in and to show: granules, the stores over them, and the records of both.

The demo uses it too. Granules are written with netCDF4; stores by VirtualiZarr, kerchunk and
icechunk, never by the code under test.
"""

import contextlib
import gc
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

SHORT_NAME = "DEMO-SST-L4-GLOB-v1.0"
FILL = -32768
FIRST_NOON = 15_706 * 86_400 + 43_200
"""2024-01-02T12:00:00Z in seconds since 1981-01-01."""


def sst_like(day: int, nlat: int, nlon: int) -> np.ndarray:
    """Packed sea surface temperatures of one day, land filled; shape (lat, lon), int16.

    Warm at the equator, with eddies that drift, so that days differ and compression is real.
    """
    lat = np.linspace(-90 + 90 / nlat, 90 - 90 / nlat, nlat)[:, None]
    lon = np.linspace(-180 + 180 / nlon, 180 - 180 / nlon, nlon)[None, :]
    drift = 2.0 * day
    eddies = np.sin(np.radians(6 * lon + drift)) * np.cos(np.radians(9 * lat - drift))
    kelvin = 271.5 + 29 * np.cos(np.radians(lat)) ** 2 + 1.5 * eddies
    noise = np.random.default_rng(day).normal(0, 0.05, (nlat, nlon))
    packed = np.round((kelvin + noise - 273.15) / 0.01).astype(np.int16)
    packed[land(nlat, nlon)] = FILL
    return packed


def land(nlat: int, nlon: int) -> np.ndarray:
    """A plain land mask: three rounded continents and a polar cap; shape (lat, lon), bool."""
    lat = np.linspace(-90 + 90 / nlat, 90 - 90 / nlat, nlat)[:, None]
    lon = np.linspace(-180 + 180 / nlon, 180 - 180 / nlon, nlon)[None, :]
    centres = ((20, 5, 38, 24), (-100, 45, 30, 24), (-60, -18, 18, 28), (95, 45, 48, 26))
    mask = np.broadcast_to(lat < -72, (nlat, nlon)).copy()
    for x, y, wide, high in centres:
        mask |= ((lon - x) / wide) ** 2 + ((lat - y) / high) ** 2 < 1
    return mask


def write_granule(
    path: Path,
    day: int,
    *,
    nlat: int = 36,
    nlon: int = 72,
    chunks: tuple[int, int] = (12, 24),
    lon_from: float = -180.0,
    north_up: bool = False,
    values: np.ndarray | None = None,
) -> Path:
    """One daily global granule: int16 with scale, offset and fill, shuffled and deflated.

    ``day`` counts from 2024-01-02; time stands at 12:00.
    """
    packed = sst_like(day, nlat, nlon) if values is None else values
    with netCDF4.Dataset(path, "w", format="NETCDF4") as nc:
        nc.createDimension("time", None)
        nc.createDimension("lat", nlat)
        nc.createDimension("lon", nlon)
        time = nc.createVariable("time", "i4", ("time",), chunksizes=(1,))
        time.setncatts(
            {
                "standard_name": "time",
                "units": "seconds since 1981-01-01",
                "axis": "T",
                "calendar": "standard",
                "long_name": "reference time",
            }
        )
        time[:] = [FIRST_NOON + day * 86400]
        for name, size, start, step, units in (
            ("lat", nlat, -90.0, 180.0 / nlat, "degrees_north"),
            ("lon", nlon, lon_from, 360.0 / nlon, "degrees_east"),
        ):
            axis = nc.createVariable(name, "f4", (name,))
            centres = start + step * (np.arange(size) + 0.5)
            axis[:] = centres[::-1] if name == "lat" and north_up else centres
            axis.setncatts(
                {
                    "standard_name": {"lat": "latitude", "lon": "longitude"}[name],
                    "units": units,
                    "axis": {"lat": "Y", "lon": "X"}[name],
                    "long_name": {"lat": "latitude", "lon": "longitude"}[name],
                }
            )
        _field(nc, "analysed_sst", packed, chunks, {
            "long_name": "analysed sea surface temperature", "units": "kelvin",
            "standard_name": "sea_surface_temperature",
            "scale_factor": np.float32(0.01), "add_offset": np.float32(273.15),
            "valid_min": np.int16(-300), "valid_max": np.int16(4500),
            "ancillary_variables": "mask", "grid_mapping": "crs"})  # fmt: skip
        mask = np.where(packed == FILL, 2, 1).astype(np.int8)
        _field(nc, "mask", mask, chunks, {
            "long_name": "land sea mask", "flag_values": np.array([0, 1, 2], np.int8),
            "flag_meanings": "nothing water land", "grid_mapping": "crs"})  # fmt: skip
        crs = nc.createVariable("crs", "i4", ())
        crs.setncatts(
            {
                "grid_mapping_name": "latitude_longitude",
                "semi_major_axis": 6378137.0,
                "inverse_flattening": 298.257223563,
            }
        )
        nc.setncatts(
            {
                "Conventions": "CF-1.8",
                "title": "Demonstration sea surface temperature",
                "institution": "made for tests",
                "source": "computed",
                "history": "written",
                "references": "none",
                "comment": "not an observation",
            }
        )
    return path


def _field(nc: Any, name: str, data: np.ndarray, chunks: tuple[int, int], attributes: dict) -> None:
    fill = np.int16(FILL) if data.dtype == np.int16 else None
    variable = nc.createVariable(
        name, data.dtype, ("time", "lat", "lon"), fill_value=fill, chunksizes=(1, *chunks),
        compression="zlib", complevel=4, shuffle=True,
    )  # fmt: skip
    variable.set_auto_maskandscale(False)
    variable.setncatts(attributes)
    variable[0] = data


def write_days(folder: Path, days: int, **layout: Any) -> list[Path]:
    """`days` granules from 2024-01-02 on."""
    folder.mkdir(parents=True, exist_ok=True)
    return [write_granule(folder / f"sst_{day + 1:03d}.nc", day, **layout) for day in range(days)]


def write_tile(
    path: Path, day: int, west: float, south: float, *, cells: int = 10, step: float = 1.0
) -> Path:
    """One daily tile of a larger grid: `cells` squared cells of `step` degrees from its corner."""
    with netCDF4.Dataset(path, "w", format="NETCDF4") as nc:
        nc.createDimension("time", None)
        time = nc.createVariable("time", "i4", ("time",), chunksizes=(1,))
        time.setncatts(
            {"standard_name": "time", "units": "seconds since 1981-01-01", "axis": "T",
             "calendar": "standard"}
        )  # fmt: skip
        time[:] = [FIRST_NOON + day * 86400]
        for name, start, standard, units in (
            ("lat", south, "latitude", "degrees_north"),
            ("lon", west, "longitude", "degrees_east"),
        ):
            nc.createDimension(name, cells)
            axis = nc.createVariable(name, "f8", (name,))
            axis[:] = start + step * (np.arange(cells) + 0.5)
            axis.setncatts({"standard_name": standard, "units": units})
        random = np.random.default_rng((day, int(west) + 360, int(south) + 90))
        packed = random.integers(-3000, 4500, (cells, cells)).astype(np.int16)
        _field(nc, "displacement", packed, (cells // 2, cells // 2), {
            "units": "m", "scale_factor": np.float32(0.001)})  # fmt: skip
        nc.setncatts({"Conventions": "CF-1.8", "title": "Demonstration tile"})
    return path


def virtual_dataset(
    files: Sequence[Path], *, group: str | None = None, dimension: str = "time"
) -> Any:
    """The files as one virtual dataset by VirtualiZarr alone; coordinates loaded and inlined."""
    import virtualizarr
    import xarray as xr
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtualizarr.parsers import HDFParser, NetCDF3Parser

    registry = ObjectStoreRegistry({"file://": LocalStore()})
    parts = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in files:
            netcdf3 = path.read_bytes()[:3] == b"CDF"
            parser = NetCDF3Parser() if netcdf3 else HDFParser(group=group)
            part = virtualizarr.open_virtual_dataset(
                path.resolve().as_uri(), registry, parser, loadable_variables=[], decode_times=False
            )
            raw = xr.open_dataset(path, group=group, decode_cf=False, engine="netcdf4")
            with raw:
                for name in part.variables:
                    if part[name].dims == (name,):
                        loaded = raw[name].variable.load()
                        loaded.encoding = (
                            {} if "_FillValue" in loaded.attrs else {"_FillValue": None}
                        )
                        part = part.assign({name: loaded})
            parts.append(part)
        if len(parts) == 1:
            return parts[0]
        return xr.concat(
            parts,
            dim=dimension,
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="override",
            combine_attrs="drop_conflicts",
        )


def virtual_image(path: Path, name: str) -> Any:
    """The first image of a GeoTIFF as a virtual dataset by virtual-tiff, as it stands."""
    import virtualizarr
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtual_tiff import VirtualTIFF

    registry = ObjectStoreRegistry({"file://": LocalStore()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = virtualizarr.open_virtual_dataset(
            path.resolve().as_uri(), registry, VirtualTIFF(ifd=0), loadable_variables=[]
        )
    return image.rename({"0": name})


def write_icechunk(
    store: Path | Any,
    groups: dict[str | None, Any],
    *,
    container: str,
    rename: Callable[[str], str] | None = None,
    specification: int | None = None,
    covered: bool = True,
    split: int | None = None,
) -> str:
    """An icechunk repository of virtual datasets by VirtualiZarr; gives its snapshot id.

    `store` is a folder or an icechunk storage; `container` the URL prefix of the references, or
    of only some of them where they are not all `covered`; `specification` the format's version;
    manifests are `split` every so many times.
    """
    import icechunk
    import virtualizarr.accessor  # noqa: F401

    icechunk.set_logs_filter("error")
    places = {
        "file": lambda: icechunk.local_filesystem_store(container.removeprefix("file://")),
        "s3": lambda: icechunk.s3_store(region="us-west-2"),
        "http": icechunk.http_store,
        "https": icechunk.http_store,
    }
    config = icechunk.RepositoryConfig.default()
    place = places[container.partition(":")[0]]()
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(container, place))
    if split is not None:
        along = {icechunk.ManifestSplitDimCondition.DimensionName("time"): split}
        splitting = icechunk.ManifestSplittingConfig.from_dict(
            {icechunk.ManifestSplitCondition.AnyArray(): along}
        )
        config.manifest = icechunk.ManifestConfig(splitting=splitting)
    storage = store
    if isinstance(store, Path):
        store.mkdir(parents=True, exist_ok=True)
        storage = icechunk.local_filesystem_storage(str(store))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = icechunk.Repository.create(
            storage, config=config, spec_version=specification
        ).writable_session("main")
        for group, dataset in groups.items():
            renamed = dataset.vz.rename_paths(rename) if rename else dataset
            renamed.vz.to_icechunk(session.store, group=group, validate_containers=covered)
        return str(session.commit("written for a test"))


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector still.

    kerchunk holds h5py's lock while zarr's thread works for it; h5py's objects in garbage that is
    collected in that thread would wait for the lock for ever.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def kerchunk_references(
    files: Sequence[Path],
    rename: Callable[[str], str] | None = None,
    dimension: str = "time",
    inline: int = 100,
    identical: Sequence[str] = ("lat", "lon", "crs"),
) -> dict[str, Any]:
    """Reference document of HDF5 files by the kerchunk library itself, joined along `dimension`.

    Variables named in `identical` are taken from the first file.
    """
    from kerchunk.combine import MultiZarrToZarr
    from kerchunk.hdf import SingleHdf5ToZarr

    with warnings.catch_warnings(), uncollected():
        warnings.simplefilter("ignore")
        singles = [
            SingleHdf5ToZarr(str(path), inline_threshold=inline).translate() for path in files
        ]
        document = singles[0]
        if len(singles) > 1:
            document = MultiZarrToZarr(
                singles, concat_dims=[dimension], identical_dims=list(identical),
                inline_threshold=inline,
            ).translate()  # fmt: skip
    for reference in document["refs"].values():
        if isinstance(reference, list):
            url = reference[0] if "://" in reference[0] else f"file://{reference[0]}"
            reference[0] = rename(url) if rename else url
    return document


def write_references(path: Path, document: dict[str, Any]) -> Path:
    """A kerchunk JSON file."""
    path.write_text(json.dumps(document))
    return path


def virtualizarr_references(
    dataset: Any, path: Path, rename: Callable[[str], str] | None = None
) -> Path:
    """A kerchunk JSON file as VirtualiZarr writes it, fill values and all."""
    import virtualizarr.accessor  # noqa: F401

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document = dataset.vz.to_kerchunk(format="dict")
    for reference in document["refs"].values():
        if isinstance(reference, list):
            url = reference[0] if "://" in reference[0] else f"file://{reference[0]}"
            reference[0] = rename(url) if rename else url
    path.write_text(json.dumps(document, default=_plain))
    return path


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value.tolist()


def umm_collection(
    concept_id: str, hrefs: Sequence[str], short_name: str = SHORT_NAME, **more: Any
) -> dict[str, Any]:
    """A synthetic ``{meta, umm}`` item of CMR whose record names stores; valid UMM-C 1.18.6."""
    related = [
        {"URL": href, "URLContentType": "DistributionURL", "Type": "GET DATA",
         "Subtype": "VIRTUAL COLLECTION", "Description": "Virtual data set reference"}
        for href in hrefs
    ]  # fmt: skip
    umm = {
        "ShortName": short_name, "Version": "1.0", "EntryTitle": "Demonstration collection",
        "Abstract": "Made by a test.", "DOI": {"DOI": "10.5067/DEMO"},
        "TemporalExtents": [
            {"RangeDateTimes": [{"BeginningDateTime": "2024-01-01T00:00:00.000Z"}]}
        ],
        "SpatialExtent": {"GranuleSpatialRepresentation": "CARTESIAN"},
        "Platforms": [{"ShortName": "MODEL"}], "ProcessingLevel": {"Id": "4"},
        "CollectionProgress": "ACTIVE", "RelatedUrls": related,
        "ScienceKeywords": [{"Category": "EARTH SCIENCE", "Topic": "OCEANS",
                             "Term": "OCEAN TEMPERATURE"}],
        "DataCenters": [{"Roles": ["ARCHIVER"], "ShortName": "DEMO"}],
        "DataDates": [{"Type": "CREATE", "Date": "2024-01-01T00:00:00.000Z"}],
        "MetadataSpecification": {"URL": "https://cdn.earthdata.nasa.gov/umm/collection/v1.18.6",
                                  "Name": "UMM-C", "Version": "1.18.6"},
        **more,
    }  # fmt: skip
    return {"meta": {"concept-id": concept_id, "native-id": short_name, "revision-id": 1,
                     "provider-id": concept_id.rpartition("-")[2]}, "umm": umm}  # fmt: skip


def umm_grid(concept_id: str, name: str, crs: str, rows: object, columns: object) -> dict[str, Any]:
    """A synthetic ``{meta, umm}`` item of CMR for a grid, in the form of CMR's own example."""
    definition = {
        "CoordinateReferenceSystemID": {"Type": "EPSG", "Code": crs, "Title": name},
        "DimensionSize": {"Height": rows, "Width": columns},
    }
    umm = {
        "Name": name, "LongName": name, "Version": "v1.0", "GridDefinition": definition,
        "MetadataSpecification": {"URL": "https://cdn.earthdata.nasa.gov/generic/grid/v0.0.1",
                                  "Name": "Grid", "Version": "0.0.1"},
    }  # fmt: skip
    return {"meta": {"concept-id": concept_id, "concept-type": "grid"}, "umm": umm}


def umm_granule(
    concept_id: str,
    collection: str,
    name: str,
    links: Sequence[dict[str, Any]],
    *,
    box: tuple[float, float, float, float] = (-180, -90, 180, 90),
    times: tuple[str, str] = ("2024-01-02T00:00:00.000Z", "2024-01-02T23:59:59.999Z"),
) -> dict[str, Any]:
    """A synthetic ``{meta, umm}`` item of CMR for one granule; valid UMM-G 1.6.7."""
    rectangle = dict(
        zip(
            (f"{side}BoundingCoordinate" for side in ("West", "South", "East", "North")),
            box,
            strict=True,
        )
    )
    umm = {
        "GranuleUR": name,
        "ProviderDates": [{"Date": "2024-02-01T00:00:00.000Z", "Type": "Insert"}],
        "CollectionReference": {"ShortName": SHORT_NAME, "Version": "1.0"},
        "RelatedUrls": list(links),
        "SpatialExtent": {
            "HorizontalSpatialDomain": {"Geometry": {"BoundingRectangles": [rectangle]}}
        },
        "TemporalExtent": {
            "RangeDateTime": {"BeginningDateTime": times[0], "EndingDateTime": times[1]}
        },
        "MetadataSpecification": {
            "URL": "https://cdn.earthdata.nasa.gov/umm/granule/v1.6.7",
            "Name": "UMM-G", "Version": "1.6.7",
        },
    }  # fmt: skip
    return {"meta": {"concept-id": concept_id, "collection-concept-id": collection}, "umm": umm}


def umm_variable(concept_id: str, name: str, **more: Any) -> dict[str, Any]:
    """A synthetic ``{meta, umm}`` item of CMR for one variable; valid UMM-Var 1.9.0."""
    umm = {
        "Name": name, "LongName": name, "Definition": f"{name}, made for a test.",
        "MetadataSpecification": {
            "URL": "https://cdn.earthdata.nasa.gov/umm/variable/v1.9.0",
            "Name": "UMM-Var", "Version": "1.9.0",
        },
        **more,
    }  # fmt: skip
    return {"meta": {"concept-id": concept_id}, "umm": umm}


def umm_service(concept_id: str, name: str, **more: Any) -> dict[str, Any]:
    """A synthetic ``{meta, umm}`` item of CMR for one service; valid UMM-S 1.5.4."""
    umm = {
        "Name": name, "LongName": name, "Type": "WEB SERVICES", "Version": "1",
        "Description": "Made for a test.",
        "URL": {"URLValue": "https://service.example.nasa.gov/", "Description": "root"},
        "ServiceOrganizations": [{"Roles": ["SERVICE PROVIDER"], "ShortName": "DEMO"}],
        "ServiceKeywords": [{"ServiceCategory": "EARTH SCIENCE SERVICES",
                             "ServiceTopic": "DATA MANAGEMENT/DATA HANDLING"}],
        "MetadataSpecification": {
            "URL": "https://cdn.earthdata.nasa.gov/umm/service/v1.5.4",
            "Name": "UMM-S", "Version": "1.5.4",
        },
        **more,
    }  # fmt: skip
    return {"meta": {"concept-id": concept_id}, "umm": umm}


STAC_TIMES = ("2024-01-02T00:00:00.000Z", "2024-01-02T23:59:59.999Z")


def write_stac(
    folder: Path, collection: str, items: Sequence[dict[str, Any]], cmr: str = "https://cmr.test"
) -> Path:
    """The catalogue of query-cmr for `items`: concept_id, name, assets; box and times if known."""
    folder.mkdir(parents=True, exist_ok=True)
    links: list[dict[str, Any]] = [
        {"rel": "harmony_source", "href": f"{cmr}/search/concepts/{collection}"}
    ]
    for number, own in enumerate(items):
        west, south, east, north = own.get("box", (-180, -90, 180, 90))
        start, end = own.get("times", STAC_TIMES)
        ring = [[west, south], [west, north], [east, north], [east, south], [west, south]]
        file = f"granule_{own['concept_id']}_{number:07d}.json"
        item = {
            "type": "Feature", "stac_version": "1.0.0-beta.2", "id": f"random-{number}",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "bbox": [west, south, east, north],
            "properties": {"start_datetime": start, "end_datetime": end, "datetime": start},
            "links": [], "assets": own["assets"],
        }  # fmt: skip
        (folder / file).write_text(json.dumps(item))
        links.append(
            {"rel": "item", "href": f"./{file}", "type": "application/json", "title": own["name"]}
        )
    catalog = {
        "stac_version": "1.0.0-beta.2", "id": "random",
        "description": f"CMR collection {collection}", "links": links,
    }  # fmt: skip
    path = folder / "catalog0.json"
    path.write_text(json.dumps(catalog))
    return path
