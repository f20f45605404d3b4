"""Names of outputs and where they go."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harmony_vds.errors import SettingsError
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.output import Output
from harmony_vds.model.plan import Cost, Plan, PlannedVariable, Role
from harmony_vds.model.request import Source
from harmony_vds.model.store import ManifestFormat, StoreLocation
from harmony_vds.staging import output_name, stage


def plan_of(*variables: str, subset: bool = False) -> Plan:
    asked: dict[str, object] = {"bbox": [0, 0, 1, 1]} if subset else {}
    return Plan(
        location=StoreLocation("https://h.example.com/s", ManifestFormat.ICECHUNK, "SNAP"),
        variables=tuple(PlannedVariable(own, (), Role.REQUESTED) for own in variables),
        selection={}, grids=(), time_axes=(), coverage=None, asked=asked, notes=(),
        cost=Cost(0, 0, 0, 0, 0, 0, 0, 0),
    )  # fmt: skip


def name_of(source: Source, *variables: str, taken: tuple[str, ...] = ()) -> str:
    return output_name(source, plan_of(*variables), ".nc4", taken)


def written(folder: Path, text: bytes = b"netcdf") -> Output:
    path = folder / "subset.nc4"
    path.write_bytes(text)
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    return Output(path, "application/netcdf", BoundingBox(0, 0, 1, 1), TimeRange(moment, moment),
                  len(text), hashlib.sha256(text).hexdigest(), 0, "title")  # fmt: skip


@pytest.mark.parametrize(
    ("source", "variables", "start"),
    [
        (Source("C1-T", "MUR25-v04.2", "4.2"), ["/sst", "/mask"], "MUR25-v04.2_4.2"),
        (Source("C1-T", "DEMO", "v4.1"), ["/sst"], "DEMO_v4.1"),
        (Source("C1-T", "DEMO", "1", ("sst",)), ["/sst"], "DEMO_1_sst"),
        (Source("C1-T", "TEMPO", "V04", ("p/no2",)), ["/p/no2"], "TEMPO_V04_p_no2"),
        (Source("C1-T", "DEMO", "1", ("a", "b")), ["/a", "/b"], "DEMO_1"),
        (Source("C1-T", "DEMO"), ["/sst"], "DEMO"),
    ],
)  # fmt: skip
def test_name_follows_harmonys_rule_and_keeps_version_numbers(
    source: Source, variables: list[str], start: str
) -> None:
    name = name_of(source, *variables)
    assert name in (f"{start}.nc4", f"{start}_subsetted.nc4")


@pytest.mark.parametrize(
    ("short_name", "version"),
    [
        ("../../etc/passwd", ""), ("..", ".."), ("/", "/"), ("a\0b", "1"), ("a\nb", "1"), ("", ""),
        ("x" * 500, "1"), ("a b:c?d#e%2f", "ü"), (".hidden", "1"), ("https://evil.com/a", "1"),
    ],
)  # fmt: skip
def test_name_cannot_leave_its_folder_whatever_the_record_says(
    short_name: str, version: str
) -> None:
    name = name_of(Source("C1-T", short_name, version), "/sst")
    assert 0 < len(name) <= 200
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert not name.startswith(".")
    assert ".." not in name
    assert name.endswith(".nc4")


def test_names_within_one_work_item_differ() -> None:
    source = Source("C1-T", "DEMO", "1")
    taken: tuple[str, ...] = ()
    for _ in range(4):
        taken += (name_of(source, "/sst", taken=taken),)
    assert len(set(taken)) == 4


def test_output_is_moved_whole_into_a_local_folder(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    target = tmp_path / "new" / "folder"
    (staged,) = stage([written(tmp_path / "work")], ["a.nc4"], str(target), None)
    assert staged.href == str(target / "a.nc4")
    assert [path.name for path in target.iterdir()] == ["a.nc4"]
    assert (target / "a.nc4").read_bytes() == b"netcdf"


def test_local_folder_may_be_a_file_url_with_blanks(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    target = tmp_path / "with blank"
    (staged,) = stage([written(tmp_path / "work")], ["a.nc4"], target.as_uri(), None)
    assert Path(staged.href) == target / "a.nc4"


@pytest.mark.parametrize("location", ["", None])
def test_nowhere_to_stage_is_a_matter_of_settings(location: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="stagingLocation"):
        stage([written(tmp_path)], ["a.nc4"], location, None)


def test_folder_that_cannot_be_written_is_a_matter_of_settings(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match="cannot be put into"):
        stage([written(tmp_path)], ["a.nc4"], str(tmp_path / "file"), None)
