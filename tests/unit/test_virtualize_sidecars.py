"""Granules are described by the DMR++ beside them, where nothing about it is in doubt."""

import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
from building import ALONE, build, contents, files_at
from dmrpp import write_dmrpp
from servers import file_server
from systems.kits import raw, same_bits, services
from world import write_days

from harmony_vds.building.choice import Choice
from harmony_vds.building.files import GranuleFile
from harmony_vds.building.places import Place
from harmony_vds.building.virtualize import Built, virtualize
from harmony_vds.dmrpp_sidecars import with_sidecars

OLD, OLDER = 1_700_000_000, 1_600_000_000
"""Dates in seconds since 1970."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_days(tmp_path_factory.mktemp("granules"), 3)


@pytest.fixture
def days(written: list[Path]) -> list[Path]:
    """Granules with sound sidecars."""
    for own in written:
        write_dmrpp(own, sidecar(own))
        os.utime(own, (OLD, OLD))
    return written


@pytest.fixture(scope="module")
def digest(written: list[Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """What describes the references and values of the store made of files alone."""
    return build(written, tmp_path_factory.mktemp("alone") / "store").digest


def sidecar(granule: Path) -> Path:
    return granule.with_name(f"{granule.name}.dmrpp")


def build_beside(paths: list[Path], store: Path, **choice: object) -> Built:
    """A store of local granules and what lies beside them."""
    told = Choice(**{"is_one_of_many": len(paths) > 1, **choice})  # type: ignore[arg-type]
    with services() as using, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = with_sidecars(files_at(paths), using.access)
        return virtualize(files, Place.of(str(store)), told, ALONE)


def same(ours: Path, theirs: Path) -> None:
    one, other = contents(ours), contents(theirs)
    assert one.keys() == other.keys()
    for path, (values, attributes) in one.items():
        assert same_bits(values, other[path][0]), path
        assert attributes == other[path][1], path


def rewrite(path: Path, pattern: str, by: str) -> None:
    before = path.read_text(encoding="latin-1")
    after = re.sub(pattern, by, before)
    assert after != before
    path.write_text(after, encoding="latin-1")


def test_store_by_sidecars_is_the_store_by_files(days: list[Path], tmp_path: Path) -> None:
    built = build_beside(days, tmp_path / "beside")
    assert "3 of 3 granules are described by their DMR++ sidecars" in built.notes
    alone = build(days, tmp_path / "alone")
    assert built.digest == alone.digest
    same(tmp_path / "beside", tmp_path / "alone")


def test_headers_of_files_with_sidecars_are_not_read(days: list[Path], tmp_path: Path) -> None:
    with file_server(days[0].parent) as archive, elsewhere(days, archive.url) as files:
        archive.forget()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            built = virtualize(files, Place.of(str(tmp_path / "store")), Choice(), ALONE)
        ranges = {own.name: [] for own in days}
        for own in archive.asked:
            if own.path.endswith(".nc"):
                ranges[own.path[1:]].append(own.headers["Range"])
    assert any("3 of 3" in own for own in built.notes)
    # The first is compared with its file; of the others come coordinates and one byte.
    assert any(own.startswith("bytes=0-") and own != "bytes=0-0" for own in ranges[days[0].name])
    for path in days[1:]:
        own = ranges[path.name]
        assert [one for one in own if one.startswith("bytes=0-")] == ["bytes=0-0"]
        bounds = [one.removeprefix("bytes=").split("-") for one in own]
        assert sum(int(last) - int(first) + 1 for first, last in bounds) < path.stat().st_size / 4


@contextmanager
def elsewhere(days: list[Path], url: str) -> Iterator[list[GranuleFile]]:
    with services(trusted=(f"{url}/",)) as using:
        worker = using.access.for_worker()
        files = [GranuleFile(f"{url}/{own.name}", access=worker) for own in days]
        yield with_sidecars(files, using.access)


def older_sidecar(own: Path) -> None:
    os.utime(sidecar(own), (OLDER, OLDER))


def cut_file(own: Path) -> None:
    rewrite(sidecar(own), r'offset="(\d\d)', r'offset="99\1')


def overlapping(own: Path) -> None:
    rewrite(
        sidecar(own), r'offset="\d+" nBytes="(\d+)" chunkP', r'offset="5000" nBytes="\1" chunkP'
    )


def lost_variable(own: Path) -> None:
    rewrite(sidecar(own), r'<Int8 name="mask">.*?</Int8>', "")


def undescribed_variable(own: Path) -> None:
    rewrite(sidecar(own), r'(<Int8 name="mask">.*?)<dmrpp:chunks.*?</dmrpp:chunks>', r"\1")


def other_scale(own: Path) -> None:
    rewrite(sidecar(own), "<Value>0.00999999978</Value>", "<Value>0.02</Value>")


def chunk_of_another_file(own: Path) -> None:
    rewrite(sidecar(own), r' nBytes="(\d+)" chunkP', r' nBytes="\1" href="s3://b/other" chunkP')


def unknown_filter(own: Path) -> None:
    rewrite(sidecar(own), "shuffle deflate", "szip")


def no_xml(own: Path) -> None:
    sidecar(own).write_text("<html>not here</html>")


@pytest.mark.parametrize(
    "fault, told",
    [
        (older_sidecar, "the file was written after it"),
        (cut_file, "its last chunk ends at byte .* of a file of .* bytes"),
        (overlapping, "two of its chunks lie over each other"),
        (lost_variable, "it differs from that of"),
        (undescribed_variable, "of mask it tells too little"),
        (other_scale, "it differs from that of"),
        (chunk_of_another_file, "of .* it tells too little|lie in other files"),
        (unknown_filter, "szip"),
        (no_xml, "no DMR"),
    ],
)
def test_granule_whose_sidecar_is_doubtful_is_described_by_itself_and_told(
    fault: Callable[[Path], None], told: str, days: list[Path], digest: str, tmp_path: Path
) -> None:
    fault(days[2])
    built = build_beside(days, tmp_path / "beside")
    assert "2 of 3 granules are described by their DMR++ sidecars" in built.notes
    notes = " ".join(built.notes)
    assert re.search(rf"{days[2].name}: described by the file itself .*{told}", notes), notes
    assert built.digest == digest


@pytest.mark.parametrize(
    "fault, told", [(lost_variable, "differ in variables: mask"), (other_scale, "scale_factor")]
)
def test_sidecars_that_all_tell_something_else_than_files_are_not_used(
    fault: Callable[[Path], None], told: str, days: list[Path], digest: str, tmp_path: Path
) -> None:
    for own in days:
        fault(own)
    built = build_beside(days, tmp_path / "beside")
    notes = " ".join(built.notes)
    assert "DMR++ sidecars are not used" in notes
    assert told in notes
    assert "described by their DMR++" not in notes
    assert built.digest == digest


def test_one_granule_alone_is_described_by_its_sidecar(days: list[Path], tmp_path: Path) -> None:
    built = build_beside(days[:1], tmp_path / "store")
    assert "1 of 1 granules are described by their DMR++ sidecars" in built.notes
    for name in ("analysed_sst", "mask", "lat", "lon", "crs", "time"):
        found = contents(tmp_path / "store")[f"/{name}"][0]
        assert same_bits(found, raw(days[0], name)), name


def odd_granule(path: Path) -> Path:
    """Scalars, compact and unwritten arrays, checksums, big-endian numbers, one piece."""
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(40_000, dtype="f4")
        file["x"].make_scale("x")
        file["scalar"] = np.int32(45)
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((4,))
        compact = h5py.h5d.create(file.id, b"compact", h5py.h5t.NATIVE_INT16, space, dcpl=layout)
        compact.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([5, 6, 7, 8], "i2"))
        file["y"] = np.arange(4.0)
        file["y"].make_scale("y")
        file["compact"].dims[0].attach_scale(file["y"])
        chunked = {"shape": (40_000,), "chunks": (10_000,)}
        checked = file.create_dataset("checked", **chunked, dtype="i4", shuffle=True,
                                      fletcher32=True, compression=5)  # fmt: skip
        checked[:] = np.arange(40_000)
        sparse = file.create_dataset("sparse", **chunked, dtype="f4", fillvalue=-9)
        sparse[:10_000] = 2.5
        file["big"] = np.arange(40_000, dtype=">i4")
        for name in ("checked", "sparse", "big"):
            file[name].dims[0].attach_scale(file["x"])
    write_dmrpp(path, sidecar(path))
    os.utime(path, (OLD, OLD))
    return path


def test_every_way_of_storing_reads_as_the_file_does(tmp_path: Path) -> None:
    """Other parsers of DMR++ give fill for scalars and compact arrays, and drop what they miss."""
    path = odd_granule(tmp_path / "odd.h5")
    built = build_beside([path], tmp_path / "store")
    assert "1 of 1 granules are described by their DMR++ sidecars" in built.notes
    found = contents(tmp_path / "store")
    with h5py.File(path) as file:
        assert {own[1:] for own in found} == set(file)
        for name, node in file.items():
            np.testing.assert_array_equal(found[f"/{name}"][0], node[()], name)


def test_fill_value_of_which_only_the_first_digits_are_told_is_doubted(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(40_000, dtype="f4")
        file["x"].make_scale("x")
        sparse = file.create_dataset("v", (40_000,), "f8", chunks=(10_000,), fillvalue=1.23456789)
        sparse[:10_000] = 2.5
        sparse.dims[0].attach_scale(file["x"])
    write_dmrpp(path, sidecar(path))
    built = build_beside([path], tmp_path / "store")
    assert "the first digits" in " ".join(built.notes)
    found = contents(tmp_path / "store")["/v"][0]
    assert (found[10_000:] == 1.23456789).all()


@pytest.mark.shared
def test_every_real_pair_comes_out_as_its_file(data: Path, tmp_path: Path) -> None:
    """By its sidecar or, where that is in doubt, by itself: the same store, or the same refusal."""
    from harmony_vds.errors import VdsError

    used = 0
    for number, own in enumerate(sorted((data / "s30_dmrpp_pairs").glob("*.dmrpp"))):
        granule = own.with_suffix("")
        if not granule.exists():
            continue
        told: list[str] = []
        for way, make in (("beside", build_beside), ("alone", build)):
            try:
                notes = make([granule], tmp_path / f"{number}{way}").notes
                used += any("described by their DMR++" in note for note in notes)
            except VdsError as error:
                told.append(str(error))
        if told:
            continue
        one, other = contents(tmp_path / f"{number}beside"), contents(tmp_path / f"{number}alone")
        assert set(one) >= set(other), granule.name
        for path, (values, _) in other.items():
            assert same_bits(one[path][0], values), (granule.name, path)
    assert used >= 20
