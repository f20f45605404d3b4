"""Secrets that a request meets are in nothing that it leaves: logs, outputs, plans, caches, wires.

The archive opens to a token alone, publishes addresses with a signature in them, and redirects
reads of granules to signed addresses of another host.
"""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pystac
import pytest
from aiohttp import web
from canaries import leaks
from harmony_service_lib.exceptions import HarmonyException
from harmony_service_lib.message import Message
from harmony_service_lib.util import config, create_decrypter
from invocation import CANARY, SHARED_SECRET, invoke, make_message
from servers import Server, cmr_server, ranged, serve
from world import kerchunk_references, umm_collection, write_days, write_references, write_stac

from harmony_vds.access.credentials import Credentials
from harmony_vds.adapter import VirtualStoreAdapter
from harmony_vds.cli.main import app
from harmony_vds.message import request_from_message
from harmony_vds.pipeline import fulfil, prepare
from harmony_vds.services import Services
from harmony_vds.settings import settings_from_environment
from harmony_vds.telemetry import redact

ADDRESS, SIGNATURE, SIGNED = "address-canary-51", "signature-canary-82", "signed-canary-c7"
PASSWORD = "password-canary-9d"
IN_QUERIES = (ADDRESS, SIGNATURE, SIGNED)
SECRETS = (CANARY, PASSWORD, SHARED_SECRET, *IN_QUERIES)
PLAIN, IN_ADDRESSES = "C0-PLAIN", "C1-SIGNED"
"""The collection of plain addresses, and the one of addresses with signatures."""
FORMS = {
    "netCDF": {}, "Zarr": {"mime": "application/x-zarr"}, "COG": {"mime": "image/tiff"},
    "PNG": {"mime": "image/png"}, "CSV": {"mime": "text/csv"},
    "Parquet": {"mime": "application/x-parquet"},
    "kerchunk": {"mime": "application/x-zarr;profile=kerchunk"},
    "icechunk": {"mime": "application/x-zarr;profile=icechunk"},
}  # fmt: skip


@dataclass
class World:
    """The archive, and what stands around it."""

    archive: Server
    elsewhere: Server
    cmr: Server
    oauth: Server
    stalls_at: tuple[str, str | None] = ("", None)
    """File and range of the read that is never answered."""
    stalled: threading.Event = field(default_factory=threading.Event)
    """Set once one waits."""

    def environment(self, folder: Path) -> dict[str, str]:
        for name in ("work", "kept"):
            (folder / name).mkdir(exist_ok=True)
        return {
            "CMR_ENDPOINT": self.cmr.url, "SHARED_SECRET_KEY": SHARED_SECRET,
            "STAGING_PATH": "unused", "STAGING_BUCKET": "unused", "TMPDIR": str(folder / "work"),
            "OAUTH_HOST": self.oauth.url, "HARMONY_VDS_BESIDE": "both",
            "HARMONY_VDS_TRUSTED_PREFIXES": f"{self.archive.url},{self.elsewhere.url}",
            "HARMONY_VDS_TOKEN_HOSTS": self.archive.url,
            "HARMONY_VDS_CACHE_DIR": str(folder / "kept"),
        }  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("archive")
    files = write_days(root, 2)

    async def protected(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {CANARY}":
            return web.Response(status=401, text="who are you?")
        if request.path.endswith(".nc"):
            place = f"{own.elsewhere.url}{request.path}?X-Amz-Signature={SIGNED}"
            return web.Response(status=303, headers={"Location": place})
        return marked(request)

    async def signed(request: web.Request) -> web.StreamResponse:
        if own.stalls_at == (request.path, request.headers.get("Range")):
            own.stalled.set()
            await asyncio.sleep(3600)
        return marked(request)

    def marked(request: web.Request) -> web.StreamResponse:
        answer = ranged((root / request.path.strip("/")).read_bytes(), request)
        answer.headers["ETag"] = '"one"'
        return answer

    async def login(_: web.Request) -> web.StreamResponse:
        return web.json_response({"access_token": CANARY})

    (root / "shape.json").write_text('{"type": "Point", "coordinates": [0, 0]}')

    with serve(protected) as archive, serve(signed) as elsewhere, serve(login) as oauth:
        records = {}
        for name, query in (("plain", ""), ("signed", f"?Signature={SIGNATURE}")):

            def moved(url: str, query: str = query) -> str:
                return f"{archive.url}/{url.rpartition('/')[2]}{query}"

            write_references(root / f"{name}.json", kerchunk_references(files, moved))
            concept = f"C{len(records)}-{name.upper()}"
            records[concept] = umm_collection(concept, [f"{archive.url}/{name}.json?key={ADDRESS}"])
        with cmr_server(records, token=CANARY) as cmr:
            own = World(archive, elsewhere, cmr, oauth)
            yield own


def asked(folder: Path, form: dict[str, Any], concept: str = PLAIN, **more: Any) -> dict[str, Any]:
    """One picture's worth of data."""
    day = {"start": "2024-01-02T00:00:00Z", "end": "2024-01-02T23:59:59Z"}
    return make_message(
        concept, variables=["analysed_sst"], bbox=[-180, -90, 180, 90], temporal=day,
        staging=str(folder / "out"), format={"mime": "application/netcdf", **form}, **more,
    )  # fmt: skip


def told_to_strangers(world: World) -> list[str]:
    """What the host that signatures lead to was told of the others' secrets."""
    seen = [f"{own.headers} {own.path} {own.query}" for own in world.elsewhere.asked]
    return [text for text in seen if any(own in text for own in (CANARY, ADDRESS, SIGNATURE))]


def work(message: dict[str, Any], catalog: Any = None) -> Any:
    """The catalogue, or catalogues, of a work item."""
    own = Message(message, create_decrypter(SHARED_SECRET.encode()))
    adapter = VirtualStoreAdapter(own, catalog=catalog, config=config(validate=False))
    return adapter.invoke()[1]


def check(world: World, folder: Path, told: str) -> None:
    """Nothing is left that a secret stands in."""
    assert any(CANARY in str(own.headers) for own in world.archive.asked)
    assert leaks(folder, SECRETS) == []
    assert told_to_strangers(world) == []
    assert [own for own in (CANARY, PASSWORD) if own in told] == []
    assert [own for own in IN_QUERIES if own in redact(told)] == []


@pytest.fixture
def here(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which all of a work item happens."""
    for name, value in world.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    for own in (world.archive, world.elsewhere):
        own.forget()
    return tmp_path


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_output_nor_what_lies_beside_it_holds_a_secret(
    form: str, world: World, here: Path
) -> None:
    told = {"SERVICE_LOG_LEVEL": "DEBUG", "LOG_LEVEL": "DEBUG", "PYTHONWARNINGS": "ignore"}
    outcome = invoke(
        asked(here, FORMS[form]), here, environment=world.environment(here) | told,
        data_location=None,
    )  # fmt: skip
    assert outcome.items
    assert [own for own in (here / "out").rglob("*") if own.is_file()]
    assert any((here / "kept").iterdir())
    assert list((here / "work").iterdir()) == []
    assert any(SIGNED in str(own.query) for own in world.elsewhere.asked)
    assert '"DEBUG"' in outcome.stderr
    check(world, here, outcome.stderr)


@pytest.mark.filterwarnings("ignore:get_all_items is deprecated")
@pytest.mark.parametrize("step", [{}, {"extraArgs": {"virtual_store_step": "plan"}}])
def test_signatures_and_passwords_that_a_request_brings_are_not_kept(
    step: dict[str, Any], world: World, here: Path, *, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HARMONY_VDS_COLLECTIONS_FILE", str(here / "table.toml"))
    store = f"{world.archive.url}/plain.json"
    (here / "table.toml").write_text(f'[{PLAIN}]\nstores = [{{ url = "{store}" }}]\n')
    message = asked(here, {}, **step)
    message["sources"][0]["variables"][0]["relatedUrls"] = [
        {"url": f"HTTPS://example.com/a?X-Amz-Signature={SIGNATURE}", "type": "GET DATA"}
    ]
    inputs = [
        {"concept_id": f"G{day}-DEMO", "name": f"day {day}",
         "times": (f"2024-01-0{day}T00:00:00Z", f"2024-01-0{day}T23:59:59Z"),
         "assets": {"data": {"href": address, "type": "application/x-netcdf4"}}}
        for day, address in (
            (2, f"https://example.com/sst.nc?sig={SIGNED}"),
            (3, f"s3://me:{PASSWORD}@bucket/sst.nc"),
        )
    ]  # fmt: skip
    catalog = pystac.Catalog.from_file(
        str(write_stac(here.parent / f"{here.name}-in", PLAIN, inputs))
    )
    made = work(message, catalog)
    for number, own in enumerate(made if step else [made]):
        own.normalize_and_save(str(here / f"catalog{number}"), "SELF_CONTAINED")
    assert [own for own in (here / "out").rglob("*") if own.is_file()]
    check(world, here, caplog.text)


def test_shape_whose_address_may_be_signed_is_not_handed_on_in_parts(
    world: World, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMONY_VDS_COLLECTIONS_FILE", str(here / "table.toml"))
    store = f"{world.archive.url}/plain.json"
    (here / "table.toml").write_text(f'[{PLAIN}]\nstores = [{{ url = "{store}" }}]\n')
    message = asked(here, {}, extraArgs={"virtual_store_step": "plan"})
    address = f"{world.elsewhere.url}/shape.json?sig={SIGNED}"
    message["subset"] = {"shape": {"href": address, "type": "application/geo+json"}}
    with pytest.raises(HarmonyException, match=r"shape .* a query") as caught:
        work(message)
    assert caught.value.category == "NoRetry"
    check(world, here, str(caught.value))


@pytest.mark.parametrize("form", ["netCDF", "kerchunk", "icechunk"])
def test_signatures_that_a_manifest_holds_are_in_no_output_of_it(
    form: str, world: World, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    work(asked(here, FORMS[form], IN_ADDRESSES))
    assert any(SIGNATURE in str(own.query) for own in world.archive.asked)
    check(world, here, caplog.text)


@pytest.mark.filterwarnings("ignore:get_all_items is deprecated")
def test_parts_and_what_is_written_of_them_hold_no_secret(
    world: World, here: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    # Without a query in the store's own address, by which the next step must open it.
    monkeypatch.setenv("HARMONY_VDS_COLLECTIONS_FILE", str(here / "table.toml"))
    store = f"{world.archive.url}/plain.json"
    (here / "table.toml").write_text(f'[{PLAIN}]\nstores = [{{ url = "{store}" }}]\n')
    planned = work(asked(here, {}, extraArgs={"virtual_store_step": "plan"}))
    for number, own in enumerate(planned):
        place = here / f"part{number}"
        own.normalize_and_save(str(place), "SELF_CONTAINED")
        work(asked(here, {}), pystac.Catalog.from_file(str(place / "catalog.json")))
    assert [own.suffix for own in (here / "out").rglob("*") if own.suffix == ".nc4"]
    check(world, here, caplog.text)


def test_store_whose_address_may_be_signed_is_not_handed_on_in_parts(
    world: World, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(HarmonyException, match="has a query") as caught:
        work(asked(here, {}, extraArgs={"virtual_store_step": "plan"}))
    assert caught.value.category == "NoRetry"
    assert not (here / "out").exists()
    check(world, here, caplog.text + str(caught.value))


@pytest.mark.parametrize("source", ["EARTHDATA_TOKEN", ".netrc"])
def test_login_of_a_person_shows_nowhere(
    source: str, world: World, here: Path, *, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.delenv("EARTHDATA_TOKEN", raising=False)
    if source == ".netrc":
        told = here.parent / f"{here.name}.netrc"
        told.write_text(f"machine 127.0.0.1 login me password {PASSWORD}")
        told.chmod(0o600)
        monkeypatch.setenv("NETRC", str(told))
    else:
        monkeypatch.setenv(source, CANARY)
    caplog.set_level(logging.DEBUG)
    store = f"{world.archive.url}/plain.json?key={ADDRESS}"
    options = ["--store", store, "--variable", "analysed_sst", "--output", str(here / "out")]
    app(["subset", *options, "--json", "--verbose"], standalone_mode=False)
    assert list((here / "out").rglob("*.nc4"))
    check(world, here, caplog.text + "".join(capsys.readouterr()))


def test_plans_and_what_holds_the_credentials_show_none_of_them(
    world: World, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_from_environment()
    token = Credentials.of_token(CANARY, settings.token_hosts)
    with Services.of(settings, token) as services:
        wanted = request_from_message(Message(asked(here, {}, IN_ADDRESSES)))
        (prepared,) = prepare(wanted, services)
        (output,) = fulfil([prepared], here / "work", services)
        # Nothing masks what people print.
        shown = [settings, token, services, services.access, services.access.fetcher, wanted,
                 prepared, prepared.plan, prepared.part, prepared.store, output]  # fmt: skip
        told = "".join(f"{own!r} {own}" for own in shown)
        told += json.dumps(prepared.plan.as_json()) + str(vars(prepared.store))
    assert "StoreLocation" in told
    assert [own for own in SECRETS if own in told] == []
    check(world, here, told)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_work_folder_of_a_process_that_was_ended_holds_no_secret(
    end: signal.Signals, world: World, here: Path
) -> None:
    work(asked(here, {}))
    last = world.elsewhere.asked[-1]
    world.stalls_at = (last.path, last.headers["Range"])
    world.stalled.clear()
    command = [sys.executable, "-m", "harmony_vds", "--harmony-action", "invoke",
               "--harmony-input", json.dumps(asked(here, {})), "--harmony-sources", "",
               "--harmony-metadata-dir", str(here / "metadata")]  # fmt: skip
    more = {
        "HARMONY_VDS_CACHE_DIR": str(here / "kept by it"),
        "SERVICE_LOG_LEVEL": "DEBUG",
        "LOG_LEVEL": "DEBUG",
        "PYTHONWARNINGS": "ignore",
    }
    with (here / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **more}, stdout=log, stderr=log)
        try:
            assert world.stalled.wait(240)
        finally:
            world.stalls_at = ("", None)
            process.send_signal(end)
            process.wait(240)
    assert any((here / "work").iterdir()) == (end is signal.SIGKILL)
    assert '"DEBUG"' in (here / "log").read_text()
    check(world, here, "")
