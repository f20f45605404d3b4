"""The threats of docs/security.md, each in every form of store: real against a reader that trusts.

Attacks that a whole invocation must withstand are in test_security.py.
"""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dmrpp
import icechunk
import numpy as np
import pytest
from aiohttp import web
from conftest import REPOSITORY
from hostile import (
    MANIFESTS,
    array,
    json_store,
    linked_icechunk,
    linked_zarr,
    metadata,
)
from invocation import CANARY, SHARED_SECRET, invoke, make_message
from servers import Server, cmr_server, failing_server, ranged, serve
from world import kerchunk_references, umm_collection, write_granule, write_references

from harmony_vds.access.credentials import Credentials
from harmony_vds.errors import ForbiddenError, StoreError, UntrustedError, VdsError
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.request import Asset, Granule, Request, Source
from harmony_vds.model.store import ManifestFormat, StoreLocation
from harmony_vds.pipeline import Services, prepare
from harmony_vds.settings import Settings
from harmony_vds.stores.open import open_again, open_store

SECRET = b"SECRETBYTES"
forms = pytest.mark.parametrize("form", MANIFESTS)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    (tmp_path / "open").mkdir()
    path = tmp_path / "secret" / "key"
    path.write_bytes(SECRET)
    return path


@pytest.fixture
def stranger() -> Iterator[Server]:
    """A host that nobody named, which gives the bytes and would gladly take a token."""

    async def answer(asked: web.Request) -> web.StreamResponse:
        return ranged(SECRET, asked)

    with serve(answer) as server:
        yield server


def read(location: StoreLocation, trusted: list[str], **more: Any) -> bytes:
    """The bytes of the hostile variable, read by an operator who trusts these prefixes."""
    settings = Settings(trusted_prefixes=tuple(trusted), **more)
    credentials = Credentials.of_token(CANARY, settings.token_hosts)
    with Services.of(settings, credentials) as using:
        store = open_store([location], using.access, using.reading)
        if store.defects:
            raise StoreError("; ".join(store.defects.values()))
        return np.asarray(store.tree["sst"].values).tobytes()


@pytest.mark.parametrize("reader", ["planned", "zarr"])
@forms
def test_manifest_cannot_read_the_services_own_disk(
    form: str, reader: str, secret: Path, tmp_path: Path
) -> None:
    location = MANIFESTS[form](tmp_path / "open", secret.as_uri())
    trusted = (tmp_path / "open").as_uri()
    with pytest.raises(UntrustedError, match="is not read"):
        read(location, [trusted], reader=reader)
    # The attack is real: where the operator says so, these are the bytes.
    assert read(location, [trusted, secret.as_uri()], reader=reader) == SECRET


@pytest.mark.parametrize("way", ["../secret/key", "%2e%2e/secret/key", "..%2Fsecret/key", "link"])
@forms
def test_manifest_cannot_climb_out_of_a_trusted_folder(
    form: str, way: str, secret: Path, tmp_path: Path
) -> None:
    (tmp_path / "open" / "link").symlink_to(secret)
    trusted = f"{(tmp_path / 'open').as_uri()}/"
    with pytest.raises(VdsError) as refused:
        read(MANIFESTS[form](tmp_path / "open", f"{trusted}{way}"), [trusted])
    assert SECRET.decode() not in str(refused.value)


@pytest.mark.parametrize("write", [linked_zarr, linked_icechunk])
def test_link_in_the_place_of_a_native_chunk_cannot_lead_out(
    write: Any, secret: Path, tmp_path: Path
) -> None:
    location = write(tmp_path / "open", secret)
    trusted = (tmp_path / "open").as_uri()
    with pytest.raises(UntrustedError, match="is not read"):
        read(location, [trusted])
    assert read(location, [trusted, secret.as_uri()]) == SECRET


@forms
def test_token_goes_to_no_host_that_only_a_manifest_names(
    form: str, stranger: Server, tmp_path: Path
) -> None:
    location = MANIFESTS[form](tmp_path, f"{stranger.url}/key")
    with pytest.raises(UntrustedError):
        read(location, [tmp_path.as_uri()])
    assert stranger.asked == []
    # Bytes may come from where the operator says; the token goes only where it may go, too.
    assert read(location, [tmp_path.as_uri(), stranger.url]) == SECRET
    assert CANARY not in str([own.headers for own in stranger.asked])
    read(location, [tmp_path.as_uri(), stranger.url], token_hosts=(stranger.url,))
    assert CANARY in str([own.headers for own in stranger.asked])


def test_repository_that_redirects_hands_the_token_to_nobody(
    stranger: Server, tmp_path: Path
) -> None:
    async def elsewhere(asked: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"{stranger.url}{asked.path}"})

    with serve(elsewhere) as listed:
        location = StoreLocation(f"{listed.url}/store", ManifestFormat.ICECHUNK)
        with pytest.raises(VdsError):
            read(location, [listed.url], token_hosts=(listed.url,))
        assert CANARY in str([own.headers for own in listed.asked])
    assert CANARY not in str([own.headers for own in stranger.asked])


BOUNDED = """
import json, resource, struct, sys, warnings
from pathlib import Path
import google_crc32c, zarr
sys.path.insert(0, "tests")
warnings.simplefilter("ignore")
from hostile import ROOT, bombs
from systems.kits import services
import harmony_vds.pipeline
from harmony_vds.model.request import Asset, Granule, Request, Source
from harmony_vds.model.store import ManifestFormat, StoreLocation
from harmony_vds.stores.open import open_store

root, told, packed = Path(sys.argv[1]), {}, bombs()
mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + 2**30,) * 2)

def attempt(what, folder):
    with services(trusted=("file:///",)) as using:
        try:
            store = open_store([StoreLocation(folder.as_uri(), ManifestFormat.ZARR)], using.access)
            told[what] = str(store.defects) if store.defects else "read"
            store.tree["f"].values
        except Exception as error:
            told[what] = f"{type(error).__name__}: {error}"

PLAIN = {"shape": [1024, 1024], "chunks": [1024, 1024], "dtype": "<i4", "fill_value": 0,
         "order": "C", "filters": None, "zarr_format": 2}
VARIANTS = {
    "plain": {},
    "order F": {"order": "F"},
    "texts": {"dtype": "|S4", "fill_value": "AAAAAA=="},
    "objects": {"dtype": "|O", "filters": [{"id": "vlen-utf8"}], "fill_value": ""},
    "twice": {"filters": [{"id": "zlib"}]},
}
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
for name, body in packed.items():
    for variant, odd in VARIANTS.items():
        folder = root / f"{name}-{variant}"
        (folder / "f").mkdir(parents=True)
        (folder / "f" / "0.0").write_bytes(body)
        documents = {".zgroup": json.loads(ROOT), "f/.zattrs": {"_ARRAY_DIMENSIONS": ["y", "x"]},
                     "f/.zarray": {**PLAIN, "compressor": {"id": name}, **odd}}
        whole = {"zarr_consolidated_format": 1, "metadata": documents}
        (folder / ".zmetadata").write_text(json.dumps(whole))
        attempt(f"{name}, {variant}", folder)
    codec = {"name": name if name in ("gzip", "zstd", "blosc") else f"numcodecs.{name}",
             "configuration": {"blosc": {"typesize": 4, "cname": "zstd", "clevel": 1,
                               "shuffle": "noshuffle", "blocksize": 0}}.get(name, {})}
    index = struct.pack("<QQ", 0, len(body))
    index += struct.pack("<I", google_crc32c.value(index))
    sharding = {"name": "sharding_indexed", "configuration": {
        "chunk_shape": [1024, 1024], "codecs": [BYTES, codec], "index_location": "end",
        "index_codecs": [BYTES, {"name": "crc32c"}]}}
    transpose = {"name": "transpose", "configuration": {"order": [1, 0]}}
    for variant, codecs, stored in (("sharded", [sharding], body + index),
                                    ("transposed", [transpose, BYTES, codec], body)):
        folder = root / f"{name}-{variant}"
        (folder / "f" / "c" / "0").mkdir(parents=True)
        (folder / "f" / "c" / "0" / "0").write_bytes(stored)
        (folder / "zarr.json").write_text('{"zarr_format":3,"node_type":"group"}')
        (folder / "f" / "zarr.json").write_text(json.dumps({
            "zarr_format": 3, "node_type": "array", "shape": [1024, 1024], "data_type": "int32",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1024, 1024]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0, "codecs": codecs, "attributes": {}, "dimension_names": ["y", "x"]}))
        attempt(f"{name}, {variant}", folder)
print(json.dumps(told))
"""


def test_no_codec_unpacks_more_than_the_array_holds(tmp_path: Path) -> None:
    """Two gigabytes from less than three megabytes, in a process that may take one."""
    environment = {**os.environ, "MALLOC_ARENA_MAX": "2"}  # arenas of threads count, too
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(tmp_path)], cwd=REPOSITORY, capture_output=True,
        text=True, timeout=200, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told) == 7 * 7
    odd = {what: said for what, said in told.items()
           if not said.startswith("StoreError: A chunk")}  # fmt: skip
    assert odd == {}


def crowded_json(folder: Path) -> StoreLocation:
    path = folder / "refs.json"
    path.write_text('{"version":1,"more":[' + "[]," * 2**24 + '[]],"refs":{".zgroup":"{}"}}')
    return StoreLocation(path.as_uri(), ManifestFormat.KERCHUNK_JSON)


def crowded_refs(folder: Path) -> StoreLocation:
    path = folder / "refs.json"
    path.write_text('{"version":1,"refs":{".zgroup":"{}","a":[' + "[]," * 2**24 + "[]]}}")
    return StoreLocation(path.as_uri(), ManifestFormat.KERCHUNK_JSON)


def crowded_parquet(folder: Path) -> StoreLocation:
    (folder / ".zmetadata").write_text('{"record_size":1,"metadata":[' + "[]," * 2**24 + "[]]}")
    return StoreLocation(folder.as_uri(), ManifestFormat.KERCHUNK_PARQUET)


def crowded_zarr(folder: Path) -> StoreLocation:
    (folder / "zarr.json").write_text('{"zarr_format":3,"x":[' + "[]," * 2**24 + "[]]}")
    return StoreLocation(folder.as_uri(), ManifestFormat.ZARR)


def crowded_dmrpp(folder: Path) -> StoreLocation:
    path = folder / "granule.dmrpp"
    path.write_text(dmrpp.document("<Group name='g'/>" * 2**22))
    return StoreLocation(path.as_uri(), ManifestFormat.DMRPP)


@pytest.mark.parametrize(
    "write", [crowded_json, crowded_refs, crowded_parquet, crowded_zarr, crowded_dmrpp]
)
def test_metadata_of_too_many_parts_are_refused_before_they_are_parsed(
    write: Any, tmp_path: Path
) -> None:
    """Fifty megabytes of JSON would become more than a gigabyte of lists."""
    assert (sys.getsizeof([]) + 8) * 2**24 >= 2**30
    with pytest.raises(StoreError, match=r"at most [\d,]+ are read"):
        read(write(tmp_path), [tmp_path.as_uri()])


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ({"dtype": "|S1000000", "fill_value": None}, "bytes in one chunk"),
        ({"dtype": "|S20000", "fill_value": None, "shape": [10_000], "chunks": [1]},
         "coordinate of 200,000,000 bytes"),
        ({"filters": [{"id": "astype", "encode_dtype": "|i1", "decode_dtype": "|S9999999"}]},
         "'|S9999999'"),
        ({"filters": [{"id": "delta", "dtype": "|O"}]}, "'|O'"),
    ],
)  # fmt: skip
def test_elements_of_megabytes_cost_their_variable(
    odd: dict[str, Any], told: str, tmp_path: Path
) -> None:
    if "shape" not in odd:
        odd = {"shape": [5_000], "chunks": [5_000], **odd}
    documents = metadata(**odd) | {"sst/.zattrs": '{"_ARRAY_DIMENSIONS":["sst"]}'}
    path = tmp_path / "refs.json"
    path.write_text(json.dumps({"version": 1, "refs": documents}))
    with pytest.raises(StoreError) as refused:
        read(StoreLocation(path.as_uri(), ManifestFormat.KERCHUNK_JSON), [tmp_path.as_uri()])
    assert told in str(refused.value)


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("place", ["compressor", "filters", "codecs"])
def test_pickled_chunk_of_native_zarr_runs_no_code(place: str, tmp_path: Path) -> None:
    mark, version = tmp_path / "ran", 3 if place == "codecs" else 2
    body = pickle.dumps(Evil(mark))
    pickle.loads(body)
    assert mark.exists()
    mark.unlink()
    root = tmp_path / "store.zarr"
    array(str(root), version)
    path = root / "sst" / ("zarr.json" if version == 3 else ".zarray")
    document = json.loads(path.read_text())
    if version == 3:
        document["codecs"].append({"name": "numcodecs.pickle", "configuration": {"protocol": 5}})
    else:
        codec = {"id": "pickle", "protocol": 5}
        document[place] = codec if place == "compressor" else [codec]
        document["dtype"], document["fill_value"] = "|O", None
    path.write_text(json.dumps(document))
    chunk = root / "sst" / ("c/0" if version == 3 else "0")
    chunk.parent.mkdir(exist_ok=True)
    chunk.write_bytes(body)
    with pytest.raises(StoreError, match="pickle"):
        read(StoreLocation(root.as_uri(), ManifestFormat.ZARR), [tmp_path.as_uri()])
    assert not mark.exists()


def test_pickle_in_the_cache_folder_runs_no_code(tmp_path: Path) -> None:
    source, kept, mark = tmp_path / "source", tmp_path / "kept", tmp_path / "ran"
    source.write_bytes(SECRET)
    location = json_store(tmp_path, source.as_uri())
    trusted = [tmp_path.as_uri()]
    assert read(location, trusted, cache_dir=str(kept)) == SECRET
    (entry,) = kept.iterdir()
    for name in ("kinds", "sources", "offsets", "lengths"):
        np.save(entry / f"{name}.npy", np.array([Evil(mark)], dtype=object), allow_pickle=True)
    assert read(location, trusted, cache_dir=str(kept)) == SECRET
    assert not mark.exists()


def test_users_of_one_process_share_no_open_store(tmp_path: Path) -> None:
    """A ticket opens the store anew for whoever brings another token."""
    asked: list[str | None] = []

    async def guarded(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Authorization"))
        if asked[-1] != f"Bearer {CANARY}":
            return web.Response(status=401)
        path = tmp_path / "refs.json"
        return ranged(path.read_bytes() if request.path.endswith("json") else SECRET, request)

    with serve(guarded) as server:
        json_store(tmp_path, f"{server.url}/key")
        location = StoreLocation(f"{server.url}/refs.json", ManifestFormat.KERCHUNK_JSON)
        settings = Settings(trusted_prefixes=(server.url,), token_hosts=(server.url,))

        def services(token: str) -> Services:
            return Services.of(settings, Credentials.of_token(token, settings.token_hosts))

        with services(CANARY) as first, services("of-another-user") as second:
            opened = open_store([location], first.access)
            sent = pickle.dumps(opened.tree["sst"].variable)
            assert pickle.loads(sent).values.tobytes() == SECRET
            packed = opened.tree["sst"].variable._data.array.opened.ticket.packed()
            with pytest.raises(ForbiddenError):
                open_again(packed, second.access.for_worker())
    assert asked[-1] == "Bearer of-another-user"


@pytest.mark.parametrize(
    "place",
    ["https://evil.example.com/login", "https://urs.earthdata.nasa.gov@evil.example.com/a",
     "https://urs.earthdata.nasa.gov.evil.example.com/a", "http://urs.earthdata.nasa.gov/a",
     "javascript:alert(1)", "https://urs.earthdata.nasa.gov/ <b>click</b>"],
)  # fmt: skip
def test_refusal_sends_the_user_nowhere_but_to_earthdata(place: str, tmp_path: Path) -> None:
    with failing_server(403, json.dumps({"resolution_url": place})) as evil:
        location = json_store(tmp_path, f"{evil.url}/key")
        with pytest.raises(ForbiddenError) as refused:
            read(location, [tmp_path.as_uri(), evil.url])
    assert "evil.example" not in str(refused.value)
    assert "Accept" not in str(refused.value)


AMBIENT = {
    "AWS_ACCESS_KEY_ID": "AKIAAMBIENTAMBIENT00", "AWS_SECRET_ACCESS_KEY": "ambient-secret",
    "AWS_SESSION_TOKEN": "ambient-session", "AWS_PROFILE": "ambient",
    "AWS_ROLE_ARN": "arn:aws:iam::1:role/ambient", "AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/credentials",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": "{url}", "AWS_METADATA_ENDPOINT": "{url}",
}  # fmt: skip


@pytest.mark.parametrize("kind", [own for own in ManifestFormat if own.is_published])
def test_credentials_of_the_pod_are_used_for_no_form_of_store(
    kind: ManifestFormat, stranger: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[ambient]\naws_access_key_id=AKIAAMBIENTAMBIENT00\naws_secret_access_key=ambient-secret\n"
    )
    (tmp_path / "token").write_text("ambient-web-identity")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in AMBIENT.items():
        monkeypatch.setenv(name, value.format(home=tmp_path, url=stranger.url))
    with failing_server(403, "<Error><Code>AccessDenied</Code></Error>") as s3:
        location = StoreLocation("s3://bucket/store", kind)
        with pytest.raises(VdsError):
            read(location, ["s3://bucket/"], s3_endpoint_url=s3.url)
        assert s3.asked
        sent = str([(own.headers, own.query) for own in s3.asked])
    assert "ambient" not in sent.lower()
    assert "authorization" not in sent.lower()
    assert "X-Amz" not in sent
    assert stranger.asked == []


FAR = "7c1f-query-canary"


def test_secrets_show_nowhere_at_any_level_of_the_log(tmp_path: Path) -> None:
    """The user's token, and the query of a store's address, which may be a signature."""
    granule = write_granule(tmp_path / "day.nc", 0)
    asked: list[str] = []

    async def archive(request: web.Request) -> web.StreamResponse:
        asked.append(str(request.headers.get("Authorization")))
        if request.path == "/broken.json":  # a server that repeats what it was sent
            return web.Response(status=400, text=f"{request.headers} {request.url}")
        response = ranged((tmp_path / request.path.strip("/")).read_bytes(), request)
        response.headers["ETag"] = '"one"'
        return response

    with serve(archive) as server:
        document = kerchunk_references([granule], lambda _: f"{server.url}/day.nc?Signature={FAR}")
        write_references(tmp_path / "refs.json", document)
        records = {
            f"C{number}-T": umm_collection(f"C{number}-T", [f"{server.url}/{name}?key={FAR}"])
            for number, name in enumerate(("refs.json", "broken.json"))
        }
        with cmr_server(records) as cmr:
            environment = {
                "CMR_ENDPOINT": cmr.url, "PYTHONWARNINGS": "ignore", "SERVICE_LOG_LEVEL": "DEBUG",
                "LOG_LEVEL": "DEBUG", "RUST_LOG": "trace",
                "HARMONY_VDS_TRUSTED_PREFIXES": server.url,
                "HARMONY_VDS_TOKEN_HOSTS": server.url,
                "HARMONY_VDS_CACHE_DIR": str(tmp_path / "kept"),
            }  # fmt: skip
            told = ""
            for concept in records:
                folder = tmp_path / concept
                folder.mkdir()
                message = make_message(concept, variables=["mask"], bbox=[-30, -20, 40, 35])
                outcome = invoke(message, folder, environment=environment)
                assert outcome.status == (concept == "C1-T"), outcome.stderr
                told += outcome.stderr
    assert f"Bearer {CANARY}" in asked
    assert '"DEBUG"' in told
    assert "/refs.json" in told
    written = [own for own in tmp_path.rglob("*") if own.is_file() and own.name != "refs.json"]
    assert any(own.suffix == ".nc4" for own in written)
    assert any(own.name == "error.json" for own in written)
    for secret in (CANARY, FAR, SHARED_SECRET):
        assert secret not in told
        assert [own for own in written if secret.encode() in own.read_bytes()] == []


def test_shape_at_a_strangers_is_refused_unread(stranger: Server, tmp_path: Path) -> None:
    with cmr_server({"C1-T": umm_collection("C1-T", [])}) as cmr:
        environment = {"CMR_ENDPOINT": cmr.url, "PYTHONWARNINGS": "ignore"}
        message = make_message("C1-T", bbox=[-30, -20, 40, 35])
        message["subset"]["shape"] = {"href": f"{stranger.url}/shape.json",
                                      "type": "application/geo+json"}  # fmt: skip
        outcome = invoke(message, tmp_path, environment=environment)
    assert outcome.error["category"] == "NoRetry"
    assert stranger.asked == []


@pytest.mark.parametrize(
    "href",
    ["file:///etc/passwd", "https://169.254.169.254/latest.json", "https://127.0.0.1/a.json",
     "https://[::ffff:127.0.0.1]/a.json", "http://evil.example.com/a.json", "https://a@b/a.json"],
)  # fmt: skip
def test_asset_of_a_selected_granule_leads_nowhere_else(href: str) -> None:
    """Chain (b): the input catalogue names the store."""
    asset = Asset(href, "application/json", "kerchunk virtual data set")
    day = TimeRange(datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC))
    granule = Granule("C1-T", "G1-T", "a", (asset,), day)
    with cmr_server({"C1-T": umm_collection("C1-T", [])}) as cmr:
        settings = Settings(cmr_endpoint=cmr.url)
        wanted = Request((Source("C1-T", "DEMO"),), granules=(granule,))
        credentials = Credentials.of_token(CANARY)
        with Services.of(settings, credentials) as using, pytest.raises(VdsError) as refused:
            prepare(wanted, using)
    assert "root:" not in str(refused.value)
    assert "not read" in str(refused.value)


@forms
def test_place_that_the_operator_moved_cannot_be_left(
    form: str, secret: Path, tmp_path: Path
) -> None:
    place = f"{(tmp_path / 'open').as_uri()}/"
    if form == "DMR++":  # a chunk of the name of its own file lies there, whatever its folder
        secret = secret.rename(secret.with_name("other"))
    location = MANIFESTS[form](
        tmp_path / "open", f"https://old.example.com/x/../secret/{secret.name}"
    )
    moved = f"https://old.example.com/x/={place}"
    with pytest.raises(VdsError) as refused:
        read(location, [place], rewrite_prefixes=(moved,))
    assert SECRET.decode() not in str(refused.value)


def test_user_who_may_not_read_a_repository_gets_nothing_of_its_kept_indexes(
    tmp_path: Path,
) -> None:
    root, kept = tmp_path / "store", tmp_path / "kept"
    root.mkdir()
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(root)))
    session = repository.writable_session("main")
    array(session.store, shape=(5_000,), chunks=(1,))  # enough chunks to be worth keeping
    session.commit("written for a test")

    async def guarded(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {CANARY}":
            return web.Response(status=403)
        path = tmp_path / request.path.strip("/")
        return ranged(path.read_bytes(), request) if path.is_file() else web.Response(status=404)

    def count(server: Server, token: str) -> int:
        settings = Settings(
            trusted_prefixes=(server.url,), token_hosts=(server.url,), cache_dir=str(kept)
        )
        with Services.of(settings, Credentials.of_token(token, settings.token_hosts)) as using:
            location = StoreLocation(f"{server.url}/store", ManifestFormat.ICECHUNK)
            store = open_store([location], using.access, using.reading)
            return int(store.chunk_index("/sst").kinds.size)

    with serve(guarded) as server:
        assert count(server, CANARY) == 5_000
        assert len(list(kept.iterdir())) == 1
        with pytest.raises(ForbiddenError):
            count(server, "of-another-user")


def test_words_of_a_store_cannot_forge_links_or_lines_in_the_catalogue(tmp_path: Path) -> None:
    odd = "<a href='javascript:alert(1)'>\r\nx</a>\x1b[31m"
    granule = write_granule(tmp_path / "day.nc", 0)
    document = kerchunk_references([granule])
    refs = document["refs"]
    for name in (".zarray", ".zattrs"):
        refs[f"{odd}/{name}"] = refs[f"mask/{name}"]
    refs[".zattrs"] = json.dumps({"title": odd, "id": odd, odd: odd})
    write_references(tmp_path / "refs.json", document)
    record = umm_collection("C1-T", [(tmp_path / "refs.json").as_uri()], EntryTitle=odd)
    with cmr_server({"C1-T": record}) as cmr:
        environment = {"CMR_ENDPOINT": cmr.url, "PYTHONWARNINGS": "ignore",
                       "HARMONY_VDS_TRUSTED_PREFIXES": tmp_path.as_uri()}  # fmt: skip
        message = make_message("C1-T", short_name=odd, variables=["mask"])
        outcome = invoke(message, tmp_path, environment=environment)
    assert outcome.status == 0, outcome.stderr
    (item,) = outcome.items
    (asset,) = item["assets"].values()
    assert Path(asset["href"]).parent == tmp_path / "data"
    told = json.dumps([item, outcome.catalog])
    for sign in ("<a", "javascript:", "\\r", "\\n", "\\u001b"):
        assert sign not in told
    assert "\x1b" not in outcome.stderr
