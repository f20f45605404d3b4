"""icechunk repositories: kinds of chunks, versions of the format, and what is refused."""

import warnings
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import zarr
from systems.kits import Answer, ask, raw, request, root_attributes, same_bits, services
from world import virtual_dataset, write_days

from harmony_vds.errors import StoreError, VdsError
from harmony_vds.model.chunks import ChunkKind
from harmony_vds.pipeline import fulfil, prepare


def repository(folder: Path, **options: Any) -> icechunk.Repository:
    folder.mkdir(parents=True, exist_ok=True)
    config = icechunk.RepositoryConfig.default()
    config.inline_chunk_threshold_bytes = 32
    config.set_virtual_chunk_container(
        icechunk.VirtualChunkContainer(
            f"{folder.parent.as_uri()}/", icechunk.local_filesystem_store(str(folder.parent))
        )
    )
    icechunk.set_logs_filter("error")
    return icechunk.Repository.create(
        icechunk.local_filesystem_storage(str(folder)), config=config, **options
    )


def whole(store: Path, folder: Path) -> Answer:
    return ask(request(), store.as_uri(), services(trusted=("file:///",)), folder / "out")


@pytest.mark.parametrize("version", [1, 2])
def test_virtual_native_and_inline_chunks_of_both_formats_are_read(
    version: int, tmp_path: Path
) -> None:
    source = tmp_path / "source.bin"
    values = np.arange(40, dtype="<i4")
    source.write_bytes(values[:20].tobytes())
    store = tmp_path / "store"
    session = repository(store, spec_version=version).writable_session("main")
    root = zarr.group(session.store)
    options: dict[str, Any] = {"dtype": "i4", "compressors": None}
    mixed = root.create_array("mixed", shape=(40,), chunks=(20,), dimension_names=("x",), **options)
    mixed[20:] = values[20:]
    session.store.set_virtual_ref("mixed/c/0", source.as_uri(), offset=0, length=80)
    small = root.create_array("small", shape=(4,), chunks=(4,), dimension_names=("y",), **options)
    small[:] = values[:4]
    session.commit("chunks of every kind")

    answer = whole(store, tmp_path)
    assert same_bits(answer.read("mixed"), values)
    assert same_bits(answer.read("small"), values[:4])
    index = answer.prepared.store.chunk_index
    assert index("/mixed").kinds.tolist() == [ChunkKind.VIRTUAL, ChunkKind.NATIVE]
    assert index("/small").kinds.tolist() == [ChunkKind.INLINE]
    cost = answer.prepared.plan.cost
    assert (cost.requests, cost.bytes_read) == (2, 160)


def test_scalar_that_refers_to_a_folder_is_no_chunk(tmp_path: Path) -> None:
    """VirtualiZarr's rename_paths, given no care, names the folder for a scalar never written.

    Its offset and length are then whatever lay in memory.
    """
    import virtualizarr.accessor  # noqa: F401

    files = write_days(tmp_path / "granules", 1)
    dataset = virtual_dataset(files)
    base = f"{files[0].parent.as_uri()}/"
    session = repository(tmp_path / "store").writable_session("main")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        careless = dataset.vz.rename_paths(lambda path: base + Path(path).name)
        careless.vz.to_icechunk(session.store)
    session.commit("careless")
    answer = whole(tmp_path / "store", tmp_path)
    assert answer.prepared.store.chunk_index("/crs").kinds == ChunkKind.ABSENT
    assert same_bits(answer.read("crs"), raw(files[0], "crs"))
    assert same_bits(answer.read("analysed_sst"), raw(files[0], "analysed_sst"))
    assert answer.output.missing == 0


def test_snapshot_is_pinned_when_opened(tmp_path: Path) -> None:
    """What is committed between the plan and the reading is not read."""
    store = tmp_path / "store"
    own = repository(store)
    session = own.writable_session("main")
    array = zarr.group(session.store).create_array(
        "field", shape=(3,), chunks=(3,), dtype="i4", dimension_names=("x",)
    )
    array[:] = [1, 2, 3]
    first = session.commit("first")
    with services(trusted=("file:///",)) as using:
        prepared = prepare(request(), using, store.as_uri())
        later = own.writable_session("main")
        zarr.open_group(later.store)["field"][:] = [7, 8, 9]
        later.commit("second")
        output = fulfil(prepared, tmp_path / "out", using)[0]
    assert prepared[0].plan.location.snapshot == first
    assert raw(output.path, "field").tolist() == [1, 2, 3]


def test_damaged_repository_is_refused_by_name(tmp_path: Path) -> None:
    store = tmp_path / "store"
    repository(store)
    (store / "repo").write_bytes(b"no repository")
    with (
        services(trusted=("file:///",)) as using,
        pytest.raises(VdsError, match="cannot be opened as an icechunk repository"),
    ):
        prepare(request(), using, store.as_uri())


def contradicting(store: Path) -> None:
    """A root whose group `odd` gives one dimension two lengths, as HDF5 without scales can."""
    session = repository(store).writable_session("main")
    root = zarr.group(session.store)
    odd = root.create_group("odd")
    for group, name, size in ((root, "good", 3), (odd, "one", 4), (odd, "other", 5)):
        group.create_array(
            name,
            shape=(size,),
            chunks=(size,),
            dtype="i4",
            dimension_names=(f"along_{group.basename}",),
        )[:] = np.arange(size)
    session.commit("contradicting")


def test_variable_that_does_not_fit_its_group_is_told_and_the_others_come_out(
    tmp_path: Path,
) -> None:
    contradicting(tmp_path / "store")
    answer = whole(tmp_path / "store", tmp_path)
    assert answer.read("good").tolist() == [0, 1, 2]
    assert answer.read("odd/one").tolist() == [0, 1, 2, 3]
    (note,) = answer.prepared.plan.notes
    assert "/odd/other cannot be read and is left out: its dimension along_odd has 5" in note
    assert note in root_attributes(answer.path)["virtual_store_notes"]


def test_variable_that_does_not_fit_its_group_is_refused_with_the_reason(tmp_path: Path) -> None:
    contradicting(tmp_path / "store")
    with (
        services(trusted=("file:///",)) as using,
        pytest.raises(StoreError, match=r"odd/other.* cannot be read"),
    ):
        prepare(request(("odd/other",)), using, (tmp_path / "store").as_uri())


def test_store_in_which_nothing_can_be_read_is_an_error_and_no_empty_file(tmp_path: Path) -> None:
    repository(tmp_path / "store").writable_session("main")
    session = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(tmp_path / "store"))
    ).writable_session("main")
    zarr.group(session.store)
    session.commit("empty")
    with (
        services(trusted=("file:///",)) as using,
        pytest.raises(StoreError, match="holds no variable"),
    ):
        prepare(request(), using, (tmp_path / "store").as_uri())
