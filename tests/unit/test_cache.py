"""Manifests kept between requests: the same answer, or as if nothing had been kept."""

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from servers import Server, file_server, ranged, serve
from systems.kits import ask, raw, request, services
from world import kerchunk_references, write_references

from harmony_vds.access.credentials import Credentials
from harmony_vds.errors import ForbiddenError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind
from harmony_vds.pipeline import Services, prepare
from harmony_vds.settings import Settings
from harmony_vds.stores.cache import ManifestCache

CANARY = "canary-8f1d2c"


@pytest.fixture(scope="module")
def document(days: list[Path]) -> dict:
    return kerchunk_references(days)


@pytest.fixture
def references(document: dict, tmp_path: Path) -> Path:
    """A reference file in a folder of its own, which a server publishes."""
    (tmp_path / "shelf").mkdir()
    return write_references(tmp_path / "shelf" / "refs.json", document)


@pytest.fixture
def shelf(references: Path) -> Iterator[Server]:
    with file_server(references.parent) as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def using(shelf: Server, cache: Path, limit: int = 2**30) -> Services:
    return services(trusted=("file:///", shelf.url), cache_dir=str(cache), cache_bytes=limit)


def answer(shelf: Server, cache: Path, folder: Path) -> np.ndarray:
    href = f"{shelf.url}/refs.json"
    return raw(ask(request(), href, using(shelf, cache), folder / "out").path, "analysed_sst")


def downloaded(shelf: Server, cache: Path, limit: int = 2**30) -> bool:
    """Whether planning fetched the whole reference file; otherwise it took one byte of it."""
    shelf.forget()
    with using(shelf, cache, limit) as own:
        prepare(request(), own, f"{shelf.url}/refs.json")
    ranges = [asked.headers.get("Range") for asked in shelf.asked]
    assert ranges in (["bytes=0-0"], ["bytes=0-0", None])
    return None in ranges


def entries(cache: Path) -> list[Path]:
    return sorted(cache.iterdir())


def everything(cache: Path) -> bytes:
    return b"".join(own.read_bytes() for entry in entries(cache) for own in entry.iterdir())


def test_second_opening_asks_for_one_byte_and_gives_the_same_values(
    shelf: Server, cache: Path, tmp_path: Path
) -> None:
    first = answer(shelf, cache, tmp_path / "a")
    assert not downloaded(shelf, cache)
    np.testing.assert_array_equal(answer(shelf, cache, tmp_path / "b"), first)
    assert all(own.name[:5] != ".new-" for own in entries(cache))


def test_plan_and_pin_are_those_of_the_document_itself(shelf: Server, cache: Path) -> None:
    plans = []
    for folder in ("", str(cache), str(cache)):
        with services(trusted=("file:///", shelf.url), cache_dir=folder) as own:
            plans.append(prepare(request(), own, f"{shelf.url}/refs.json")[0].plan)
    assert plans[0].location == plans[1].location == plans[2].location
    assert plans[0].cost == plans[1].cost == plans[2].cost


def test_changed_document_is_read_anew(
    shelf: Server, references: Path, cache: Path, document: dict
) -> None:
    assert downloaded(shelf, cache)
    changed = json.loads(json.dumps(document))
    changed["refs"][".zattrs"] = changed["refs"][".zattrs"].replace("history", "histery")
    write_references(references, changed)
    os.utime(references, (1_700_000_000, 1_700_000_000))
    assert downloaded(shelf, cache)
    assert not downloaded(shelf, cache)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _garble(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[-len(body) // 3] ^= 0x55
    path.write_bytes(body)


def _garbage(path: Path) -> None:
    path.write_bytes(b"\x80\x04garbage")


def _forbid(path: Path) -> None:
    path.unlink()
    path.mkdir()  # even the superuser cannot read a folder as a file


FILES = ("entry.json", "texts.bin", "locations.json", "kinds.npy", "sources.npy", "offsets.npy",
         "lengths.npy")  # fmt: skip


@pytest.mark.parametrize("spoil", [_truncate, _garble, _garbage, _forbid, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_damaged_entry_is_built_anew(name: str, spoil: Callable[[Path], None], cache: Path) -> None:
    """Whatever is wrong with whichever file, its content never becomes an index."""
    kept = ManifestCache(str(cache), 2**30)
    index = index_of(40)
    kept.keep("kind", "href", indexes=[("a", index)], texts={"note": b"text" * 9}, notes={"n": 1})
    entry = entries(cache)[0]
    spoil(entry / name)
    found = kept.load("kind", "href")
    if found is not None:
        with pytest.raises(Exception, match="damaged"):
            found.index("a")
        kept.remove("kind", "href")
    assert not any(own.name == entry.name for own in entries(cache))
    again = kept.keep("kind", "href", indexes=[("a", index)])
    assert again is not None
    same_index(again.index("a"), index)


def index_of(chunks: int, name: str = "s3://bucket/one.nc") -> ChunkIndex:
    index = ChunkIndex.empty((chunks * 3,), (3,), 2)
    index.kinds[1:] = ChunkKind.VIRTUAL
    index.sources[1:] = np.arange(chunks - 1) % 2
    index.offsets[:] = np.arange(chunks) * 2**33
    index.lengths[1:] = 7
    return ChunkIndex(index.shape, index.chunk_shape, 2, index.kinds, index.sources, index.offsets,
                      index.lengths, (name, "https://host/two.nc"))  # fmt: skip


def same_index(got: ChunkIndex, wanted: ChunkIndex) -> None:
    assert (got.shape, got.chunk_shape, got.itemsize) == (
        wanted.shape, wanted.chunk_shape, wanted.itemsize
    )  # fmt: skip
    for name in ("kinds", "offsets", "lengths"):
        np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name))
    for one, other in zip(got.sources.ravel(), wanted.sources.ravel(), strict=True):
        assert (one < 0) == (other < 0)
        assert one < 0 or got.locations[one] == wanted.locations[other]


def test_arrays_of_every_shape_come_back_as_they_were(cache: Path) -> None:
    scalar, nothing = ChunkIndex.empty((), (), 8), ChunkIndex.empty((0, 5), (1, 5), 4)
    wide = ChunkIndex.empty((6, 10), (2, 3), 4)
    wide.lengths[:] = np.arange(12).reshape(3, 4)
    indexes = {"s": scalar, "n": nothing, "w": wide, "a": index_of(9), "b": index_of(5, "s3://c/x")}
    found = ManifestCache(str(cache), 2**30).keep("kind", "href", indexes=indexes.items())
    assert found is not None
    for path, index in indexes.items():
        same_index(found.index(path), index)


def test_damage_found_while_a_request_runs_is_mended_by_reading_the_document(
    shelf: Server, cache: Path, tmp_path: Path
) -> None:
    first = answer(shelf, cache, tmp_path / "a")
    entry = max(entries(cache), key=lambda own: (own / "offsets.npy").stat().st_size)
    body = bytearray((entry / "offsets.npy").read_bytes())
    body[128:] = bytes(len(body) - 128)  # zeros are sound numbers, and wrong
    (entry / "offsets.npy").write_bytes(body)
    np.testing.assert_array_equal(answer(shelf, cache, tmp_path / "b"), first)
    assert downloaded(shelf, cache)  # what was damaged is gone
    assert not downloaded(shelf, cache)


@pytest.mark.parametrize("trouble", ["a file", "read-only", "too small", "below a file"])
def test_folder_of_no_use_changes_no_answer(
    trouble: str, shelf: Server, cache: Path, tmp_path: Path
) -> None:
    limit = 100 if trouble == "too small" else 2**30
    if trouble == "a file":
        cache.write_text("not a folder")
    elif trouble == "read-only":
        cache = Path("/proc/harmony-vds")  # nobody can make a folder here
    elif trouble == "below a file":
        (tmp_path / "file").write_text("")
        cache = tmp_path / "file" / "cache"
    for _ in range(2):
        assert downloaded(shelf, cache, limit)


def test_full_disk_leaves_nothing_behind(cache: Path) -> None:
    def breaks() -> Iterator[tuple[str, ChunkIndex]]:
        yield "a", index_of(9)
        raise OSError(28, "No space left on device")

    assert ManifestCache(str(cache), 2**30).keep("kind", "href", indexes=breaks()) is None
    assert entries(cache) == []


def test_what_was_used_longest_ago_goes_first(cache: Path) -> None:
    kept = ManifestCache(str(cache), 2**30)
    for name in "abc":
        kept.keep("kind", name, indexes=[("x", index_of(1000))])
    for age, name in enumerate("cab"):  # c was used last, then a, then b
        os.utime(kept._entry(("kind", name)), (1e9 - age, 1e9 - age))
    size = sum(own.stat().st_size for own in entries(cache)[0].iterdir())
    bounded = ManifestCache(str(cache), 3 * size + 100)
    bounded.load("kind", "b")  # used again
    bounded.keep("kind", "d", indexes=[("x", index_of(1000))])
    assert [name for name in "abcd" if bounded.load("kind", name)] == ["b", "c", "d"]


def test_open_entry_outlives_its_removal(cache: Path) -> None:
    kept = ManifestCache(str(cache), 2**30)
    found = kept.keep("kind", "href", indexes=[("a", index_of(2000))])
    assert found is not None
    shutil.rmtree(cache)
    same_index(found.index("a"), index_of(2000))


def _keep_and_load(folder: str, worker: int) -> int:
    kept, right = ManifestCache(folder, 60_000), 0
    for turn in range(30):
        name = f"{(worker + turn) % 4}"
        found = kept.load("kind", name) or kept.keep("kind", name, indexes=[("a", index_of(900))])
        if found is not None:
            same_index(found.index("a"), index_of(900))
            right += 1
    return right


def test_processes_may_write_read_and_evict_at_once(cache: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        found = list(pool.map(_keep_and_load, [str(cache)] * 3, range(3)))
    assert min(found) > 0
    assert not [own for own in entries(cache) if own.name.startswith(".new-")]


def test_user_who_may_not_read_the_document_gets_nothing_of_what_was_kept(
    references: Path, days: list[Path], cache: Path
) -> None:
    text = references.read_bytes()

    async def guarded(asked: web.Request) -> web.Response:
        if asked.headers.get("Authorization") != f"Bearer {CANARY}":
            return web.Response(status=401)
        response = ranged(text, asked)
        response.headers["ETag"] = '"one"'
        return response

    def opened(server: Server, token: str) -> None:
        settings = Settings(
            trusted_prefixes=("file:///", server.url), cache_dir=str(cache),
            cmr_endpoint=server.url,
        )  # fmt: skip
        credentials = Credentials.of_token(token).also_for(server.url)
        with Services.of(settings, credentials) as own:
            prepare(request(), own, f"{server.url}/refs.json")

    with serve(guarded) as server:
        opened(server, CANARY)
        assert len(entries(cache)) == 3  # the document, and two coordinates of it
        with pytest.raises(ForbiddenError):
            opened(server, "another")
    assert CANARY.encode() not in everything(cache)


def test_manifest_whose_sources_carry_signatures_is_not_kept(
    document: dict, references: Path, shelf: Server, cache: Path
) -> None:
    signed = json.loads(json.dumps(document))
    for key, reference in signed["refs"].items():
        if key.startswith("analysed_sst/") and isinstance(reference, list):
            reference[0] = f"https://host/x.nc?X-Amz-Signature={CANARY}"
    write_references(references, signed)
    for _ in range(2):
        with using(shelf, cache) as own:
            prepare(request(["mask"]), own, f"{shelf.url}/refs.json")
    assert [asked.headers.get("Range") for asked in shelf.asked].count(None) == 2
    assert CANARY.encode() not in everything(cache)


def test_no_folder_is_made_where_none_is_set(
    shelf: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with services(trusted=("file:///", shelf.url)) as own:
        prepare(request(), own, f"{shelf.url}/refs.json")
    assert sorted(tmp_path.rglob("*")) == before
