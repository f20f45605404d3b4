"""What metadata may claim: whatever is beyond reason costs one variable, not the store."""

import json
import pickle
import resource
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from systems.kits import services
from world import kerchunk_references, write_granule, write_references

from harmony_vds.errors import StoreError
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.stores.open import open_store
from harmony_vds.stores.vetting import defect_of

ARRAY = {"shape": [4], "chunks": [2], "dtype": "<i2", "fill_value": 0, "order": "C",
         "filters": None, "compressor": None, "zarr_format": 2}  # fmt: skip
INLINE = f"base64:{b64encode(np.array([1, 2], '<i2').tobytes()).decode()}"


def opened(refs: dict[str, Any], folder: Path, group: str = "") -> VirtualStore:
    path = write_references(folder / "refs.json", {"version": 1, "refs": refs})
    location = StoreLocation(path.as_uri(), ManifestFormat.KERCHUNK_JSON, group=group)
    with services(trusted=("file:///",)) as using:
        return open_store([location], using.access)


def references(odd: dict[str, Any], attributes: dict[str, Any] | None = None) -> dict[str, Any]:
    """A sound array and an odd one."""
    found = {".zgroup": '{"zarr_format":2}'}
    for name, described, own in (("sound", ARRAY, {}), ("odd", ARRAY | odd, attributes or {})):
        rank = len(described["shape"]) if isinstance(described["shape"], list) else 1
        dimensions = {"_ARRAY_DIMENSIONS": [f"{name}_{n}" for n in range(rank)]}
        found[f"{name}/.zarray"] = json.dumps(described)
        found[f"{name}/.zattrs"] = json.dumps(dimensions | own)
        found |= {f"{name}/0": INLINE, f"{name}/1": INLINE}
    return found


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ({"compressor": {"id": "pickle"}}, "'pickle'"),
        ({"dtype": "|O", "filters": [{"id": "pickle"}]}, "'pickle'"),
        ({"dtype": "|O", "filters": [{"id": "json2"}]}, "'json2'"),
        ({"filters": [{"id": "msgpack2"}]}, "'msgpack2'"),
        ({"filters": [{"id": "nobody-knows"}]}, "'nobody-knows'"),
        ({"filters": ["zlib"]}, "in a form that is not known"),
        ({"dtype": "|O"}, "cannot be read"),
        ({"dtype": "<q9"}, "cannot be read"),
        ({"shape": [2**62], "chunks": [1]}, "chunks"),
        ({"shape": [2**31] * 2, "chunks": [1, 1]}, "chunks"),
        ({"shape": [-4]}, "do not fit"),
        ({"chunks": [2, 2]}, "do not fit"),
        ({"shape": "4"}, "do not fit"),
        ({"shape": [1] * 40, "chunks": [1] * 40}, "do not fit"),
    ],
)
def test_array_beyond_reason_is_named_and_the_others_work(
    odd: dict[str, Any], told: str, tmp_path: Path
) -> None:
    store = opened(references(odd), tmp_path)
    assert store.defects["/odd"]
    assert told in str(defect_of("odd", ARRAY | odd, {}, 2))
    assert store.tree["sound"].values.tolist() == [1, 2, 1, 2]
    assert "odd" not in store.tree


def test_chunks_without_length_do_not_fit_any_array() -> None:
    assert "do not fit" in str(defect_of("odd", ARRAY | {"chunks": [0]}, {}, 2))


def test_pickled_chunk_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    refs = references({"dtype": "|O", "filters": [{"id": "pickle"}], "fill_value": None})
    refs["odd/0"] = f"base64:{b64encode(pickle.dumps(Evil())).decode()}"
    opened(refs, tmp_path)
    assert not (tmp_path / "ran").exists()


def test_coordinate_that_would_fill_the_memory_is_not_loaded(tmp_path: Path) -> None:
    refs = references({"shape": [30_000_000], "chunks": [30_000_000]})
    refs["odd/.zattrs"] = json.dumps({"_ARRAY_DIMENSIONS": ["odd"]})
    assert "30,000,000 entries" in opened(refs, tmp_path).defects["/odd"]


def test_attribute_of_megabytes_costs_its_variable(tmp_path: Path) -> None:
    store = opened(references({}, {"huge": "x" * 2**21}), tmp_path)
    assert "attribute huge" in store.defects["/odd"]


def test_hierarchy_of_endless_depth_is_refused(tmp_path: Path) -> None:
    path, refs = "", {".zgroup": '{"zarr_format":2}'}
    for _ in range(100):
        path += "g/"
        refs[f"{path}.zgroup"] = '{"zarr_format":2}'
    with pytest.raises(StoreError, match="levels deep"):
        opened(refs, tmp_path)


def test_document_that_is_nested_beyond_all_bounds_is_refused(tmp_path: Path) -> None:
    refs = references({})
    refs["odd/.zattrs"] = '{"a":' * 100_000 + "1" + "}" * 100_000
    with pytest.raises(StoreError, match="nested"):
        opened(refs, tmp_path)


@pytest.mark.parametrize("codec", ["bytes", "sharding_indexed"])
def test_codecs_inside_of_shards_are_vetted_too(codec: str) -> None:
    array = zarr.create_array(
        {}, shape=(8,), chunks=(2,), shards=(4,) if codec == "sharding_indexed" else None,
        dtype="i2",
    )  # fmt: skip
    described = json.loads(json.dumps(array.metadata.to_dict()))
    assert defect_of("x", described, {}, 3) is None
    inner = described["codecs"]
    if codec == "sharding_indexed":
        inner = inner[0]["configuration"]["codecs"]
    inner.append({"name": "numcodecs.pickle"})
    assert "'pickle'" in str(defect_of("x", described, {}, 3))


def test_one_group_can_be_the_store(tmp_path: Path) -> None:
    granule = write_granule(tmp_path / "day.nc", 0)
    flat = kerchunk_references([granule])["refs"]
    refs = {f"a/b/{key}": own for key, own in flat.items()}
    refs |= dict.fromkeys((".zgroup", "a/.zgroup", "a/b/.zgroup"), '{"zarr_format":2}')
    whole, part = opened(refs, tmp_path), opened(refs, tmp_path, "/a/b/")
    assert "analysed_sst" in part.tree
    assert sorted(map(str, part.tree.variables)) == sorted(map(str, whole.tree["a/b"].variables))
    assert part.tree.attrs == whole.tree["a/b"].attrs
    for name in part.tree.variables:
        assert np.array_equal(part.tree[name].values, whole.tree[f"a/b/{name}"].values)
        assert part.tree[name].attrs.keys() == whole.tree[f"a/b/{name}"].attrs.keys()
    wanted = [range(1), range(36), range(72)]
    assert part.chunk_index("/analysed_sst").tally(wanted) == whole.chunk_index(
        "/a/b/analysed_sst"
    ).tally(wanted)


MANIFESTS = {
    ManifestFormat.KERCHUNK_JSON: ("refs.json", 2 * 2**30),
    ManifestFormat.KERCHUNK_PARQUET: ("store/.zmetadata", 128 * 2**20),
    ManifestFormat.DMRPP: ("granule.dmrpp", 128 * 2**20),
    ManifestFormat.ZARR: ("store/zarr.json", 256 * 2**20),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_manifest_beyond_all_bounds_is_refused_before_it_is_read(
    kind: ManifestFormat, tmp_path: Path
) -> None:
    name, limit = MANIFESTS[kind]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.truncate(limit + 1)  # which takes no room
    href = path.parent.as_uri() if "/" in name else path.as_uri()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with services(trusted=("file:///",)) as using, pytest.raises(StoreError, match=f"{limit:,}"):
        open_store([StoreLocation(href, kind)], using.access)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_group_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    refs = references({}) | {"ocean/.zgroup": '{"zarr_format":2}'}
    with pytest.raises(StoreError, match=r"no group 'land'.*ocean"):
        opened(refs, tmp_path, "land")


def test_variable_whose_name_no_file_can_hold_is_refused_alone(tmp_path: Path) -> None:
    refs = references({})
    refs |= {key.replace("odd/", "o\x1bd/"): own for key, own in refs.items() if "odd/" in key}
    store = opened(refs, tmp_path)
    assert "control characters" in store.defects["/o\x1bd"]
    assert store.tree["sound"].values.tolist() == [1, 2, 1, 2]
