"""Every form of output appears whole, with its size and SHA-256, or not at all."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from chunked import granule, stored_chunks
from systems.kits import request, services
from world import kerchunk_references, write_references

from harmony_vds.delivery import deliver
from harmony_vds.errors import StoreError
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.formats import FORMATS, format_of
from harmony_vds.pipeline import prepare
from harmony_vds.staging import StagedOutput

READING = [own.name for own in FORMATS if not own.by_reference]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("granules")
    return [granule(folder / f"{day}.nc", day) for day in range(2)]


def delivered(form: str, files: list[Path], folder: Path) -> list[StagedOutput]:
    """All steps in a form; of a picture the last one alone."""
    store = write_references(folder / "store.json", kerchunk_references(files))
    wanted = replace(request(("field",)), media_type=format_of(form).media_type)
    if form == "png":
        last = datetime(2000, 1, len(files), tzinfo=UTC)
        wanted = replace(wanted, temporal=TimeRange(last, last))
    with services(trusted=("file:///",)) as using:
        prepared = prepare(wanted, using, store.as_uri())
        return deliver(prepared, using, str(folder / "out"), None)


@pytest.mark.parametrize("form", [own.name for own in FORMATS])
def test_size_and_checksum_are_those_of_what_lies_there(
    form: str, files: list[Path], tmp_path: Path
) -> None:
    (staged,) = delivered(form, files, tmp_path)
    path, told = Path(staged.href), staged.output
    inside = sorted(own for own in path.rglob("*") if own.is_file()) if path.is_dir() else [path]
    bodies = {own: own.read_bytes() for own in inside}
    assert told.nbytes == sum(map(len, bodies.values()))
    sums = {own: hashlib.sha256(body).hexdigest() for own, body in bodies.items()}
    if path.is_dir():
        lines = [f"{own}  {place.relative_to(path).as_posix()}\n" for place, own in sums.items()]
        assert told.checksum == hashlib.sha256("".join(lines).encode()).hexdigest()
    else:
        assert told.checksum == sums[path]
    assert [own.name for own in path.parent.iterdir()] == [staged.name]


@pytest.mark.parametrize("form", READING)
def test_what_fails_while_it_is_written_leaves_nothing_under_any_name(
    form: str, files: list[Path], tmp_path: Path
) -> None:
    damaged = granule(tmp_path / "damaged.nc", 2)
    body, last = bytearray(damaged.read_bytes()), stored_chunks(damaged)[0, 200, 384]
    body[body.index(last) + len(last) // 2] ^= 1
    damaged.write_bytes(body)
    with pytest.raises(StoreError, match="cannot be decoded"):
        delivered(form, [*files, damaged], tmp_path)
    assert not list(tmp_path.glob("out/**/*"))
