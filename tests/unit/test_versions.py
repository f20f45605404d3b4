"""States of an icechunk repository by every name, and containers by theirs."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import zarr
from systems.kits import services

from harmony_vds.errors import StoreError, UntrustedError
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.stores.open import open_store


def opened(folder: Path, trusted: str = "file:///", **named: Any) -> VirtualStore:
    location = StoreLocation(folder.as_uri(), ManifestFormat.ICECHUNK, **named)
    with services(trusted=(trusted,)) as using:
        return open_store([location], using.access)


def values(folder: Path, trusted: str = "file:///", **named: Any) -> list[int]:
    return opened(folder, trusted, **named).tree["x"].values.tolist()


class History:
    """A repository of three commits on main, a tag at the first, and a branch from the second."""

    def __init__(self, folder: Path, spec_version: int) -> None:
        icechunk.set_logs_filter("error")
        self.folder = folder
        folder.mkdir()
        self.repository = icechunk.Repository.create(
            icechunk.local_filesystem_storage(str(folder)), spec_version=spec_version
        )
        self.snapshots, self.times = [], []
        for number in range(3):
            self.snapshots.append(self.commit("main", number))
            self.times.append(datetime.now(UTC))
        self.repository.create_tag("v1.0", self.snapshots[0])
        self.repository.create_branch("side", self.snapshots[1])
        self.side = self.commit("side", 7)

    def commit(self, branch: str, number: int) -> str:
        session = self.repository.writable_session(branch)
        group = zarr.group(session.store, overwrite=True)
        group.create_array("x", data=np.full(3, number), dimension_names=["n"])
        return session.commit(f"number {number}")


@pytest.fixture(scope="module", params=[1, 2])
def history(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> History:
    return History(tmp_path_factory.mktemp("history") / "store", request.param)


def test_state_is_found_by_branch_tag_snapshot_and_time(history: History) -> None:
    named = {
        None: 2, "branch.main": 2, "branch.side": 7, "tag.v1.0": 0, history.snapshots[1]: 1,
        history.side: 7, f"as_of.{history.times[1].isoformat()}": 1,
    }  # fmt: skip
    for version, number in named.items():
        assert values(history.folder, version=version) == [number] * 3


def test_store_stays_at_the_snapshot_it_was_opened_at(history: History) -> None:
    store = opened(history.folder, version="branch.side")
    assert store.location.snapshot == history.side
    again = opened(history.folder, version="branch.side", snapshot=history.snapshots[0])
    assert again.tree["x"].values.tolist() == [0] * 3


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("branch.none", "branch.main, branch.side, tag.v1.0"),
        ("tag.none", "branch.main, branch.side, tag.v1.0"),
        ("ZZZZZZZZZZZZZZZZZZZZ", "no version ZZZZ"),
        ("notanid", "no version notanid"),
        ("as_of.1999-01-01T00:00:00Z", "no version as_of.1999"),
        ("as_of.yesterday", "no time with its zone"),
        ("as_of.2025-01-01T00:00:00", "no time with its zone"),
        ("commit.x", "none of branch.<name>"),
    ],
)
def test_state_that_is_none_is_refused_with_those_there_are(
    version: str, told: str, history: History
) -> None:
    with pytest.raises(StoreError) as refused:
        opened(history.folder, version=version)
    assert told in str(refused.value)


def named_container(folder: Path, prefix: str, *, keep: bool = True) -> Path:
    """A repository whose one chunk lies in the container ``archive``."""
    icechunk.set_logs_filter("error")
    container = icechunk.VirtualChunkContainer(
        prefix, icechunk.local_filesystem_store(prefix.removeprefix("file://")), name="archive"
    )
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(container)
    storage = icechunk.local_filesystem_storage(str(folder))
    repository = icechunk.Repository.create(storage, config=config)
    session = repository.writable_session("main")
    group = zarr.group(session.store)
    group.create_array("x", shape=(3,), chunks=(3,), dtype="i4", compressors=None,
                       dimension_names=["n"])  # fmt: skip
    session.store.set_virtual_ref("x/c/0", "vcc://archive/a.bin", offset=4, length=12)
    session.commit("by name")
    if not keep:
        config.clear_virtual_chunk_containers()
        icechunk.Repository.open(storage, config=config).save_config()
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "a.bin").write_bytes(np.arange(4, dtype="<i4").tobytes())
    return tmp_path / "archive"


def test_container_is_found_by_its_name(archive: Path, tmp_path: Path) -> None:
    store = named_container(tmp_path / "store", f"{archive.as_uri()}/")
    assert values(store) == [1, 2, 3]


def test_container_that_nobody_trusts_is_not_read(archive: Path, tmp_path: Path) -> None:
    """A repository may say where its containers are, but not that they may be read."""
    store = named_container(tmp_path / "store", f"{archive.as_uri()}/")
    with pytest.raises(UntrustedError, match=r"archive/a\.bin"):
        values(store, trusted=store.as_uri())


def test_container_without_address_is_an_error_that_names_it(archive: Path, tmp_path: Path) -> None:
    store = named_container(tmp_path / "store", f"{archive.as_uri()}/", keep=False)
    with pytest.raises(StoreError, match="'archive'"):
        values(store)
