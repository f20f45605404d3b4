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
    return output_name(source, plan_of(*variables), output_of(Path("subset.nc4")), taken)


def output_of(path: Path, nbytes: int = 0, checksum: str = "", variable: str = "") -> Output:
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    return Output(path, "application/netcdf", BoundingBox(0, 0, 1, 1), TimeRange(moment, moment),
                  nbytes, checksum, 0, "title", variable)  # fmt: skip


def written(folder: Path, text: bytes = b"netcdf") -> Output:
    path = folder / "subset.nc4"
    path.write_bytes(text)
    return output_of(path, len(text), hashlib.sha256(text).hexdigest())


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


def test_extension_of_two_parts_and_the_only_variable_of_a_file_are_in_its_name() -> None:
    source = Source("C1-T", "DEMO", "4.1")
    zipped = output_of(Path("subset.zarr.zip"))
    assert output_name(source, plan_of("/a", "/b"), zipped) == "DEMO_4.1.zarr.zip"
    assert output_name(source, plan_of("/a"), zipped, ["DEMO_4.1.zarr.zip"]).endswith("_2.zarr.zip")
    alone = output_of(Path("subset.tif"), variable="/g/b")
    assert output_name(source, plan_of("/a", "/g/b"), alone) == "DEMO_4.1_g_b.tif"


def test_folder_is_moved_whole_and_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    target = tmp_path / "target"
    for text in ("first", "second"):
        folder = tmp_path / "work" / "subset.zarr"
        (folder / "a").mkdir(parents=True)
        (folder / "a" / text).write_text(text)
        (staged,) = stage([output_of(folder)], ["a.zarr"], str(target), None)
    assert staged.href == str(target / "a.zarr")
    assert [own.name for own in target.rglob("*")] == ["a.zarr", "a", "second"]


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
