"""The main job, shown: `bin/demo` runs this.

Writes a month of daily granules, presents them as one virtual store, answers CMR on loopback with
a record that names the store, runs the service exactly as Harmony's runner does, and tells what
happened.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from invocation import Outcome, invoke, make_message
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from servers import cmr_server
from world import SHORT_NAME, umm_collection, write_granule

COLLECTION = "C1234567890-DEMO"
BOX = [140.0, 5.0, -95.0, 62.0]
DAYS = {"start": "2024-01-10T00:00:00Z", "end": "2024-01-19T23:59:59Z"}

console = Console(highlight=False, width=100)


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    granules = _archive(folder / "archive")
    store = _store(granules, folder / "sst.icechunk")
    outcome = _answer(store, folder)
    if outcome.status != 0:
        console.print(outcome.stderr, outcome.error)
        return 1
    picture = _map(outcome.data[0], folder / "sst.png")
    _tell(outcome, granules, picture, time.monotonic() - started)
    return 0


def _archive(folder: Path) -> list[Path]:
    """A month of 0.25° daily granules."""
    folder.mkdir(parents=True)
    with console.status("Writing a month of granules …"):
        paths = [
            write_granule(
                folder / f"sst_{date(2024, 1, 2) + timedelta(days=day):%Y%m%d}.nc",
                day,
                nlat=720,
                nlon=1440,
                chunks=(180, 360),
            )
            for day in range(31)
        ]
    size = sum(path.stat().st_size for path in paths)
    console.print(
        f"[bold]1[/]  An archive: {len(paths)} daily granules, 0.25° global, {_size(size)}"
    )
    return paths


def _store(granules: list[Path], store: Path) -> Path:
    """One virtual store over all of them, by the project's own command."""
    command = [Path(sys.executable).parent / "harmony-vds", "virtualize", *granules]
    with console.status("Virtualising …"):
        subprocess.run([*command, "--output", store], check=True, capture_output=True)
    size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    console.print(
        f"[bold]2[/]  A virtual store over it: {_size(size)} of chunk manifest (icechunk)"
    )
    return store


def _answer(store: Path, folder: Path) -> Outcome:
    """One Harmony work item, in a process of its own."""
    record = umm_collection(COLLECTION, [store.as_uri()])
    message = make_message(
        COLLECTION, short_name=SHORT_NAME, variables=["analysed_sst"], bbox=BOX, temporal=DAYS
    )
    with cmr_server({COLLECTION: record}) as cmr, console.status("Answering a Harmony request …"):
        console.print(
            f"[bold]3[/]  A Harmony request: analysed_sst, box {BOX}, {DAYS['start'][:10]} to "
            f"{DAYS['end'][:10]}"
        )
        return invoke(
            message,
            folder,
            environment={
                "CMR_ENDPOINT": cmr.url,
                "HARMONY_VDS_TRUSTED_PREFIXES": f"{folder.as_uri()}/",
                "PYTHONWARNINGS": "ignore",
            },
            anew=True,
        )


def _map(output: Path, picture: Path) -> Path:
    """A map of the first day of the output."""
    os.environ.setdefault("MPLCONFIGDIR", str(picture.parent / "matplotlib"))
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with netCDF4.Dataset(output) as nc:
        lon, lat = nc["lon"][:], nc["lat"][:]
        celsius = nc["analysed_sst"][0] - 273.15
    figure, axes = plt.subplots(figsize=(10, 5.2), layout="constrained")
    axes.set_facecolor("#d9d4c7")
    mesh = axes.pcolormesh(lon, lat, celsius, cmap="RdYlBu_r", shading="nearest", rasterized=True)
    bar = figure.colorbar(mesh, ax=axes, shrink=0.9)
    bar.set_label("sea surface temperature (°C)")
    ticks = np.arange(-360, 361, 20)
    kept = ticks[(ticks >= lon.min()) & (ticks <= lon.max())]
    axes.set_xticks(kept, [_longitude(value) for value in kept])
    axes.set_ylabel("degrees north")
    axes.set_title("Demonstration SST, 10 January 2024: one piece across the antimeridian")
    figure.savefig(picture, dpi=110)
    return picture


def _longitude(value: float) -> str:
    east = (value + 180) % 360 - 180
    return f"{abs(east):.0f}°{'E' if east > 0 else 'W' if -180 < east < 0 else ''}"


def _tell(outcome: Outcome, granules: list[Path], picture: Path, seconds: float) -> None:
    item = outcome.items[0]
    asset = item["assets"]["data"]
    archive = sum(path.stat().st_size for path in granules)
    read, requests = _traffic(outcome.stderr)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold cyan", justify="right")
    table.add_column()
    table.add_row("plan and price", _plan(outcome.stderr))
    table.add_row(
        "bytes read",
        f"{_size(read)} in {requests} requests, of {_size(archive)} in the archive: "
        f"[bold]{read / archive:.1%}[/]",
    )
    table.add_row("output file", f"{asset['href']} ({_size(asset['file:size'])})")
    table.add_row("STAC item", _stac(item, asset))
    table.add_row("map", str(picture))
    console.print(Panel(table, title="What came back", title_align="left", border_style="cyan"))
    console.print(f"[dim]{seconds:.0f} s from the first granule to the map.[/]")


def _plan(stderr: str) -> str:
    planned = next(
        json.loads(line)["message"] for line in stderr.splitlines() if '"Planned: ' in line
    )
    parts = planned.removeprefix("Planned: ").split("; ")
    return "\n".join([parts[0], parts[-1]])


def _traffic(stderr: str) -> tuple[int, int]:
    found = re.search(r"Read (\d+) bytes in (\d+) requests", stderr)
    assert found is not None
    return int(found[1]), int(found[2])


def _stac(item: dict[str, Any], asset: dict[str, Any]) -> str:
    properties = item["properties"]
    return (
        f"{item['id']}\nbbox {item['bbox']}, {properties['start_datetime']} to "
        f"{properties['end_datetime']}\n{asset['type']}, sha-256 {asset['file:checksum'][4:20]}…"
    )


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.1f} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1024
    raise AssertionError


if __name__ == "__main__":
    sys.exit(main())
