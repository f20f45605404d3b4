"""``harmony-vds`` as people run it: a process, its streams and its status."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import forks
import netCDF4
import numpy as np
import pytest
from aiohttp import web
from invocation import CANARY
from servers import Server, cmr_server, serve
from world import umm_collection

COMMAND = str(Path(sys.executable).with_name("harmony-vds"))
BOX = ["-20", "-12", "8", "-2"]


def environment(home: Path, more: dict[str, str] | None = None) -> dict[str, str]:
    # The package beside the tests, wherever another one is installed.
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONWARNINGS": "ignore",
            "PYTHONPATH": str(Path(__file__).parents[2]), **(more or {})}  # fmt: skip


def run(
    *arguments: str, home: Path, more: dict[str, str] | None = None, anew: bool = False
) -> subprocess.CompletedProcess[str]:
    if not anew:
        return forks.run(forks.COMMAND_LINE, arguments, environment(home, more), cwd=home)
    return subprocess.run([COMMAND, *arguments], env=environment(home, more), cwd=home, text=True,
                          capture_output=True, check=False, timeout=300)  # fmt: skip


@pytest.fixture
def local(store: Path, days: list[Path]) -> list[str]:
    """Options that name the local store and trust its granules."""
    return ["--store", str(store), "--trust", str(days[0].parent)]


def expected(days: list[Path], box: list[str]) -> np.ndarray:
    west, south, east, north = map(float, box)
    values = []
    for path in days:
        with netCDF4.Dataset(path) as nc:
            nc.set_auto_maskandscale(False)
            lat, lon = nc["lat"][:], nc["lon"][:]
            kept = np.ix_((lat >= south) & (lat <= north), (lon >= west) & (lon <= east))
            values.append(nc["analysed_sst"][0][kept])
    return np.stack(values)


def test_subset_with_negative_box_and_open_time_writes_the_granules_values(
    local: list[str], days: list[Path], tmp_path: Path
) -> None:
    done = run("subset", *local, "--variable", "analysed_sst", "--bbox", *BOX,
               "--temporal", "..", "2999-01-01", "--output", "out", "--json",
               home=tmp_path, anew=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    path = Path(told["output"])
    assert path.parent == tmp_path / "out"
    assert told["nbytes"] == path.stat().st_size
    with netCDF4.Dataset(path) as nc:
        nc.set_auto_maskandscale(False)
        wanted = expected(days, BOX)
        assert wanted.shape == (5, 2, 6)
        np.testing.assert_array_equal(nc["analysed_sst"][:], wanted)


def test_average_of_months_is_asked_for_by_options(local: list[str], tmp_path: Path) -> None:
    done = run("subset", *local, "--variable", "analysed_sst", "--average", "area", "--months",
               "1,12", "--json", home=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    asked = json.loads(done.stdout)["plan"]["asked"]
    assert (asked["average"], asked["months"]) == ("area", [1, 12])
    done = run("subset", *local, "--months", "13", home=tmp_path)
    assert done.returncode == 1
    assert "--months '13' should be months from 1 to 12" in done.stderr


def test_output_is_told_on_stdout_and_the_plan_on_stderr(local: list[str], tmp_path: Path) -> None:
    done = run("subset", *local, "--variable", "mask", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_file()
    assert "chunks" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_dry_run_prices_and_writes_nothing(local: list[str], tmp_path: Path) -> None:
    plain = run("subset", *local, "--bbox", *BOX, "--dry-run", home=tmp_path)
    assert plain.returncode == 0, plain.stderr
    assert "chunks" in plain.stdout
    told = run("subset", *local, "--bbox", *BOX, "--dry-run", "--json", home=tmp_path)
    assert isinstance(json.loads(told.stdout), dict)
    assert list(tmp_path.rglob("*.nc4")) == []


def test_estimate_prices_in_text_and_json_and_writes_nothing(
    local: list[str], days: list[Path], tmp_path: Path
) -> None:
    plain = run("estimate", *local, "--variable", "mask", "--bbox", *BOX, home=tmp_path)
    assert plain.returncode == 0, plain.stderr
    told = dict(line.split(maxsplit=1) for line in plain.stdout.splitlines()[1:])
    priced = run("estimate", *local, "--variable", "mask", "--bbox", *BOX, "--json", home=tmp_path)
    cost = json.loads(priced.stdout)["cost"]
    assert told["chunks"] == f"{cost['chunks']:,}"
    assert told["requests"] == f"{cost['requests']:,}"
    assert cost["bytes_written"] == expected(days, BOX).size + 4 * (5 + 2 + 6) + 4  # axes and crs
    assert told["time"] == "1 to 5 s"
    least, most = cost["seconds"]
    assert 0 < least < most
    assert list(tmp_path.rglob("*.nc4")) == []


def test_verbose_logs_go_to_stderr_and_leave_stdout_to_the_result(
    local: list[str], tmp_path: Path
) -> None:
    done = run("subset", *local, "--variable", "mask", "--json", "--verbose", home=tmp_path)
    assert json.loads(done.stdout)["sha256"]
    assert "INFO" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--store or --collection"),
        (["--store", "a", "--collection", "C1-T"], "--store or --collection"),
        (["--variable", "chlorophyll"], "chlorophyll"),
        (["--bbox", "0", "10", "5", "-10"], "bounding box"),
        (["--temporal", "yesterday", ".."], "--temporal"),
        (["--temporal", "1999-01-01", "1999-02-01"], "1999"),
    ],
)
def test_refusal_is_one_line_on_stderr_and_status_one(
    arguments: list[str], words: str, local: list[str], tmp_path: Path
) -> None:
    named = [] if words.startswith("--store") else local
    done = run("subset", *named, *arguments, home=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("harmony-vds: ")
    assert words in line


def test_misspelt_option_ends_with_the_status_of_usage_errors(tmp_path: Path) -> None:
    done = run("subset", "--boox", "1", home=tmp_path)
    assert done.returncode == 2
    assert "--boox" in done.stderr


def test_granules_are_not_read_unless_trusted(store: Path, tmp_path: Path) -> None:
    done = run("subset", "--store", str(store), home=tmp_path)
    assert done.returncode == 1
    assert "HARMONY_VDS_TRUSTED_PREFIXES" in done.stderr


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_bar_shows_on_a_terminal_only(
    terminal: bool, local: list[str], tmp_path: Path
) -> None:
    controller, controlled = pty.openpty()
    done = subprocess.Popen(
        [COMMAND, "subset", *local, "--variable", "analysed_sst"],
        env=environment(tmp_path, {"TERM": "xterm"}), cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=controlled if terminal else subprocess.PIPE,
    )  # fmt: skip
    os.close(controlled)
    shown = b""
    if terminal:
        try:
            while piece := os.read(controller, 4096):
                shown += piece
        except OSError:  # Linux says so when the other side is closed
            pass
    stdout, stderr = done.communicate(timeout=300)
    os.close(controller)
    assert done.returncode == 0
    assert (b"\x1b[" in shown) == terminal
    assert b"\x1b[" not in stdout + (stderr or b"")


@pytest.fixture
def earthdata() -> Iterator[Server]:
    """Earthdata Login, which gives the canary for any login."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"access_token": CANARY})

    with serve(answer) as server:
        yield server


def test_collection_is_found_in_cmr_with_the_login_of_netrc(
    earthdata: Server, store: Path, days: list[Path], tmp_path: Path
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password password-17a\n")
    netrc.chmod(0o600)
    record = umm_collection("C1-T", [store.as_uri()])
    with cmr_server({"C1-T": record}, token=CANARY) as cmr:
        more = {"CMR_ENDPOINT": cmr.url, "OAUTH_HOST": earthdata.url}
        trusted = ["--trust", str(store), "--trust", str(days[0].parent)]
        arguments = ["--collection", "C1-T", *trusted, "--variable", "mask", "--verbose"]
        done = run("subset", *arguments, home=tmp_path, more=more)
    assert done.returncode == 0, done.stderr
    assert [asked.path for asked in earthdata.asked] == ["/api/users/find_or_create_token"]
    assert [asked.headers["Authorization"] for asked in cmr.asked] == [f"Bearer {CANARY}"]
    written = Path(done.stdout.strip()).read_bytes()
    for secret in (CANARY, "password-17a"):
        assert secret not in done.stdout + done.stderr
        assert secret.encode() not in written


def test_virtualize_makes_a_store_that_subset_reads(days: list[Path], tmp_path: Path) -> None:
    made = run("virtualize", *map(str, days), "--output", "new.icechunk", home=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "5 granules" in made.stdout
    done = run("subset", "--store", "new.icechunk", "--trust", str(days[0].parent), "--bbox", *BOX,
               "--variable", "analysed_sst", home=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    with netCDF4.Dataset(done.stdout.strip()) as nc:
        nc.set_auto_maskandscale(False)
        np.testing.assert_array_equal(nc["analysed_sst"][:], expected(days, BOX))


def test_virtualize_refuses_what_is_no_granule_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.nc").write_text("not a granule")
    done = run("virtualize", "notes.nc", "--output", "new.icechunk", home=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("harmony-vds: ")
    assert "Traceback" not in done.stderr


def test_version_is_told(tmp_path: Path) -> None:
    told = (Path(__file__).parents[2] / "docker" / "service_version.txt").read_text().strip()
    assert run("--version", home=tmp_path).stdout == f"harmony-vds {told}\n"


def test_end_that_is_a_date_is_the_end_of_that_day(local: list[str], tmp_path: Path) -> None:
    for start, end, steps in (
        ("2024-01-02", "2024-01-03", 2), ("2024-01-02", "2024-01-03T00:00:00Z", 1),
        ("2024-01-02", "20240102", 1),
    ):  # fmt: skip
        done = run("estimate", *local, "--temporal", start, end, home=tmp_path)
        assert f"time {steps} of 5" in done.stdout, (start, end)


def test_what_is_no_store_is_told_from_what_is_not_there(days: list[Path], tmp_path: Path) -> None:
    for named, told in (
        (days[0], "is a granule and no store: a netCDF-4 or HDF5 file"),
        (days[0].parent, "Below it lie granules"), (tmp_path / "nowhere", "There is nothing at"),
    ):  # fmt: skip
        done = run("inspect", str(named), home=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert told in done.stderr
        assert ("harmony-vds virtualize" in done.stderr) is named.exists()


def test_folder_in_the_place_of_granules_is_refused_with_their_pattern(tmp_path: Path) -> None:
    done = run("virtualize", str(tmp_path), "--output", "new.icechunk", home=tmp_path)
    assert done.returncode == 1
    assert f"is a folder; name the granules in it, such as '{tmp_path}/*.nc'" in done.stderr


@pytest.mark.parametrize("named", ["file", "text"])
def test_shape_is_a_file_or_a_text(named: str, local: list[str], tmp_path: Path) -> None:
    shape = {"type": "Polygon", "coordinates": [[[-8, -8], [8, -8], [8, 8], [-8, -8]]]}
    (tmp_path / "own.geojson").write_text(json.dumps(shape))
    told = "own.geojson" if named == "file" else json.dumps(shape)
    done = run("subset", *local, "--shape", told, "--dry-run", "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["asked"]["shape"]["geojson"] == shape
    assert plan["masks"][0]["cells"] == [10, 16]


def test_shape_that_is_none_is_refused_in_one_line(local: list[str], tmp_path: Path) -> None:
    (tmp_path / "own.geojson").write_text("POINT(1 2)")
    done = run("subset", *local, "--shape", "own.geojson", home=tmp_path)
    assert done.returncode != 0
    assert "The shape begins with 'POINT(1 2)'" in done.stderr
