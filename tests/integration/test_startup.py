"""A new process answers each work item, so what it imports and how it ends matters every time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from world import kerchunk_references, write_references

# Heavy, and of no use before a plan is printed.
NOT_NEEDED = {
    "dask", "distributed", "virtualizarr", "kerchunk", "h5netcdf", "rasterio", "rioxarray",
    "matplotlib", "scipy", "lxml", "shapely", "pyproj", "rich.progress", "pytest", "IPython",
    "pyarrow.parquet", "fastparquet", "harmony_service_lib", "boto3", "pystac",
}  # fmt: skip


def dry_run(
    store: Path, days: list[Path], *python: str, **more: str
) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, *python, "-c", "from harmony_vds.cli.main import main; main()", "subset",
        "--store", str(store), "--trust", str(days[0].parent), "--dry-run",
        "--variable", "analysed_sst", "--bbox", "-20", "-20", "20", "20",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", **more}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_plan_is_printed_without_importing_what_it_does_not_need(
    store: Path, days: list[Path]
) -> None:
    done = dry_run(store, days, "-X", "importtime")
    assert done.returncode == 0
    assert "chunks" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "xarray" in imported  # the listing was read
    assert not imported & NOT_NEEDED


def test_plan_of_a_store_that_was_read_before_is_printed_without_importing_more(
    days: list[Path], tmp_path: Path
) -> None:
    references = write_references(tmp_path / "sst.json", kerchunk_references(days, inline=0))
    kept = {"HARMONY_VDS_CACHE_DIR": str(tmp_path / "cache")}
    first = dry_run(references, days, **kept)
    again = dry_run(references, days, "-X", "importtime", **kept)
    assert again.stdout == first.stdout
    assert list((tmp_path / "cache").iterdir())
    imported = {line.rpartition("|")[2].strip() for line in again.stderr.splitlines()}
    assert "xarray" in imported
    assert not imported & NOT_NEEDED


def test_refusal_of_a_message_without_work_imports_no_reader(tmp_path: Path) -> None:
    command = [
        sys.executable, "-X", "importtime", "-m", "harmony_vds", "--harmony-action", "invoke",
        "--harmony-input", '{"requestId": "abc"}', "--harmony-sources", "",
        "--harmony-metadata-dir", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "harmony_service_lib.cli" in imported
    assert not imported & {"xarray", "zarr", "icechunk", "pandas", "netCDF4", "obstore"}


@pytest.mark.scale
def test_fifty_starts_end_with_status_zero(store: Path, days: list[Path]) -> None:
    assert [dry_run(store, days).returncode for _ in range(50)] == [0] * 50
