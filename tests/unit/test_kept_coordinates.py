"""Coordinates kept between requests: not read again, and given only to those who may read them."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from servers import Server, ranged, serve
from systems.kits import raw, request, same_bits
from world import kerchunk_references

from harmony_vds.access.credentials import Credentials
from harmony_vds.errors import ForbiddenError
from harmony_vds.model.plan import Plan
from harmony_vds.pipeline import Prepared, Services, prepare
from harmony_vds.settings import Settings
from harmony_vds.stores.coordinates import place_of

CANARY, STRANGER = "canary-8f1d2c", "stranger-77ab10"


@dataclass
class Archive:
    """An open reference file, and sources that only some may read."""

    days: list[Path]
    server: Server
    cache: Path
    refs: dict[str, Any] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    """Pairs of token and place, as ``token place``."""

    def refer(self, place: str = "bucket/collection") -> None:
        """Let all references name sources below `place`."""
        here = {path.as_uri(): f"{self.server.url}/{place}/{path.name}" for path in self.days}
        self.refs = kerchunk_references(self.days, here.__getitem__)["refs"]

    def split_latitudes(self, *folders: str) -> None:
        """Nine chunks of latitudes, in turn from each of `folders`."""
        url, start, length = self.refs.pop("lat/0")
        count = length // 4
        array = json.loads(self.refs["lat/.zarray"]) | {"chunks": [count // 9]}
        self.refs["lat/.zarray"] = json.dumps(array)
        for number in range(9):
            there = url.replace("/collection/", f"/{folders[number % len(folders)]}/")
            self.refs[f"lat/{number}"] = [there, start + number * length // 9, length // 9]

    def prepared(self, token: str = CANARY) -> Prepared:
        settings = Settings(
            trusted_prefixes=(self.server.url,), cache_dir=str(self.cache),
            cmr_endpoint=self.server.url, spot_check="off",
        )  # fmt: skip
        self.server.forget()
        credentials = Credentials.of_token(token).also_for(self.server.url)
        with Services.of(settings, credentials) as own:
            return prepare(request(), own, f"{self.server.url}/refs.json")[0]

    def plan(self, token: str = CANARY) -> Plan:
        return self.prepared(token).plan

    def read(self) -> list[tuple[str, str]]:
        """Path and range of what was read of sources."""
        asked = [own for own in self.server.asked if not own.path.endswith(".json")]
        return [(own.path, own.headers["Range"]) for own in asked]

    def read_whole(self) -> int:
        """How many reads of sources were of more than a byte."""
        spans = [own.removeprefix("bytes=").split("-") for _, own in self.read()]
        return sum(first != last for first, last in spans)


@contextmanager
def serving(days: list[Path], cache: Path) -> Iterator[Archive]:
    bodies = {path.name: path.read_bytes() for path in days}
    archive: list[Archive] = []

    async def answer(asked: web.Request) -> web.Response:
        own, token = archive[0], asked.headers.get("Authorization", "").removeprefix("Bearer ")
        if asked.path == "/refs.json":
            body = json.dumps({"version": 1, "refs": own.refs}).encode()
            return ranged(body, asked)
        if f"{token} {place_of(f'{own.server.url}{asked.path}')}" in own.forbidden:
            return web.Response(status=403)
        return ranged(bodies[asked.path.rpartition("/")[2]], asked)

    with serve(answer) as server:
        archive.append(Archive(days, server, cache))
        archive[0].refer()
        yield archive[0]


@pytest.fixture
def archive(days: list[Path], tmp_path: Path) -> Iterator[Archive]:
    with serving(days, tmp_path / "cache") as own:
        yield own


def test_second_opening_reads_one_byte_of_the_sources(archive: Archive) -> None:
    first = archive.plan()
    assert archive.read_whole() > 1
    again = archive.prepared()
    assert len(archive.read()) == 1
    assert archive.read_whole() == 0
    assert again.plan.fingerprint == first.fingerprint
    assert again.plan.cost == first.cost
    for name in ("lat", "lon"):
        kept = again.store.tree[name].to_numpy()
        assert same_bits(kept, raw(archive.days[0], name))


def test_who_may_not_read_the_sources_is_given_nothing(archive: Archive) -> None:
    archive.plan()
    archive.forbidden = {f"{STRANGER} {archive.server.url}/bucket/collection"}
    with pytest.raises(ForbiddenError):
        archive.plan(STRANGER)
    assert archive.plan().cost.chunks  # the other still may
    assert archive.read_whole() == 0


def test_each_place_of_the_sources_is_read_from(archive: Archive) -> None:
    """A coordinate in two collections, one of which the second user may not read."""
    archive.split_latitudes("collection", "other")
    archive.plan()
    archive.plan()
    asked = {place_of(f"{archive.server.url}{path}") for path, _ in archive.read()}
    assert asked == {f"{archive.server.url}/bucket/{name}" for name in ("collection", "other")}
    assert archive.read_whole() == 0
    archive.forbidden = {f"{STRANGER} {archive.server.url}/bucket/other"}
    with pytest.raises(ForbiddenError):
        archive.plan(STRANGER)


def test_coordinate_from_very_many_places_is_read_again(archive: Archive) -> None:
    archive.split_latitudes(*(f"collection{number}" for number in range(9)))
    archive.plan()
    archive.plan()
    assert archive.read_whole() == 9


def test_other_references_are_other_coordinates(archive: Archive) -> None:
    first = archive.prepared().store.tree["lat"].to_numpy()
    url, start, length = archive.refs["lat/0"]
    archive.refs["lat/0"] = [url, start + 4, length]
    other = archive.prepared().store.tree["lat"].to_numpy()
    assert same_bits(other[:-1], first[1:])


def test_damaged_values_are_read_again(archive: Archive) -> None:
    first = archive.plan()
    for entry in archive.cache.iterdir():
        body = bytearray((entry / "texts.bin").read_bytes())
        body[len(body) // 2] ^= 0x55
        (entry / "texts.bin").write_bytes(body)
    assert archive.plan().fingerprint == first.fingerprint
    assert archive.read_whole() > 0
    archive.plan()
    assert archive.read_whole() == 0


def test_inline_coordinates_need_no_proof(archive: Archive) -> None:
    for name in ("lat", "lon"):
        body = raw(archive.days[0], name).tobytes()
        archive.refs[f"{name}/0"] = f"base64:{base64.b64encode(body).decode()}"
    for _ in range(2):
        archive.plan()
        assert archive.read() == []


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://host/bucket/collection/2024/001/a.nc", "https://host/bucket/collection"),
        ("https://host/bucket/a.nc", "https://host/bucket"),
        ("https://host/a.nc", "https://host"),
        ("s3://bucket/collection/2024/a.nc", "s3://bucket/collection"),
        ("s3://bucket/a.nc", "s3://bucket"),
        ("file:///archive/collection/a.nc", "file:///archive/collection"),
    ],
)
def test_place_is_the_bucket_and_the_collection(url: str, place: str) -> None:
    assert place_of(url) == place
