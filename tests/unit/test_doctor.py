"""``harmony-vds doctor`` as people run it, against stand-ins that are well and that are not."""

import base64
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import forks
import pytest
from archive import EULA, SECRET, SESSION, Archive, archive
from servers import Server, cmr_server
from world import umm_collection

from harmony_vds.cli.checks import Verdict, check_token, token_end
from harmony_vds.settings import Settings


def jwt(seconds: float) -> str:
    """A token of Earthdata's form that ends in `seconds`."""
    parts = ({"typ": "JWT", "alg": "RS256"}, {"uid": "somebody", "exp": int(time.time() + seconds)})
    coded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*coded, "c2lnbmF0dXJl"])


TOKEN = jwt(3600)


@pytest.fixture
def centre() -> Iterator[Archive]:
    with archive("", token=TOKEN) as own:
        yield own


@pytest.fixture
def cmr(centre: Archive, store: Path) -> Iterator[Server]:
    told = {"Region": "us-west-2", "S3BucketAndObjectPrefixNames": ["s3://archive-protected/"],
            "S3CredentialsAPIEndpoint": centre.endpoint}  # fmt: skip
    record = umm_collection("C1-T", [store.as_uri()], DirectDistributionInformation=told)
    with cmr_server({"C1-T": record}, token=TOKEN) as server:
        yield server


def doctor(
    *arguments: str, home: Path, cmr: str, token: str | None = TOKEN, **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": str(Path(__file__).parents[2]), "CMR_ENDPOINT": cmr, **more,
    }  # fmt: skip
    if token:
        environment["EARTHDATA_TOKEN"] = token
    done = forks.run(forks.COMMAND_LINE, ["doctor", *arguments], environment, cwd=home)
    for secret in (token or SECRET, SECRET, SESSION, TOKEN.split(".")[1]):
        assert secret not in done.stdout + done.stderr
    return done


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[str, str]]:
    """Check → verdict and text; of several, the last."""
    told: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return {own["check"]: (own["verdict"], own["told"]) for own in told}


def test_where_all_is_well_a_collection_is_tried_to_its_chunks(
    cmr: Server, centre: Archive, store: Path, days: list[Path], tmp_path: Path
) -> None:
    trusted = ["--trust", str(store), "--trust", str(days[0].parent)]
    done = doctor(
        "--collection", "C1-T", *trusted, "--staging", str(tmp_path / "staged"), "--json",
        home=tmp_path, cmr=cmr.url, HARMONY_VDS_TOKEN_HOSTS=centre.tea.url,
        HARMONY_VDS_TRUSTED_PREFIXES=f"{centre.tea.url}/",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = findings(done)
    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert "ends at 20" in found["token"][1]
    assert "gave S3 credentials until" in found["credentials"][1]
    assert "variables" in found["store"][1]
    assert "is read" in found["chunks"][1]
    assert (tmp_path / "staged" / "harmony-vds-doctor.txt").is_file()
    assert centre.exchanges == 1


def test_agreement_to_accept_is_a_failure_that_tells_where(
    cmr: Server, centre: Archive, store: Path, days: list[Path], tmp_path: Path
) -> None:
    centre.fault = "eula"
    trusted = ["--trust", str(store), "--trust", str(days[0].parent)]
    done = doctor(
        "--collection", "C1-T", *trusted, home=tmp_path, cmr=cmr.url,
        HARMONY_VDS_TOKEN_HOSTS=centre.tea.url, HARMONY_VDS_TRUSTED_PREFIXES=f"{centre.tea.url}/",
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = [own for own in done.stdout.splitlines() if "credentials:" in own]
    assert line.startswith("failed")
    assert EULA in line


def test_endpoint_that_only_the_record_names_gets_no_token(
    cmr: Server, centre: Archive, store: Path, tmp_path: Path
) -> None:
    done = doctor("--collection", "C1-T", "--trust", str(store), "--json",
                  home=tmp_path, cmr=cmr.url)  # fmt: skip
    assert done.returncode == 1
    assert "gets no token" in findings(done)["credentials"][1]
    assert centre.tea.asked == []


def test_without_token_the_settings_are_told_and_only_public_data_are_read(
    cmr: Server, tmp_path: Path
) -> None:
    done = doctor("--json", home=tmp_path, cmr=cmr.url, token=None, HARMONY_VDS_S3="https")
    assert done.returncode == 0
    assert findings(done)["token"][0] == "warning"
    assert "credentials" not in findings(done)
    told = json.loads(done.stdout)["settings"]
    assert set(told) == {str(own.validation_alias) for own in Settings.model_fields.values()}
    assert (told["HARMONY_VDS_S3"], told["CMR_ENDPOINT"]) == ("https", cmr.url)


def test_chunks_that_may_not_be_read_are_a_failure(
    cmr: Server, store: Path, tmp_path: Path
) -> None:
    done = doctor("--store", str(store), "--json", home=tmp_path, cmr=cmr.url)
    assert done.returncode == 1
    found = findings(done)
    assert found["store"][0] == "ok"
    assert found["chunks"][0] == "failed"
    assert "HARMONY_VDS_TRUSTED_PREFIXES" in found["chunks"][1]


def test_token_that_ended_and_cmr_that_refuses_it_are_failures(cmr: Server, tmp_path: Path) -> None:
    done = doctor("--store", "none.json", "--json", home=tmp_path, cmr=cmr.url, token=jwt(-60))
    assert done.returncode == 1
    found = findings(done)
    assert found["token"][0] == found["cmr"][0] == found["store"][0] == "failed"
    assert "It ended at" in found["token"][1]


def test_cmr_that_is_not_there_is_told_soon(store: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    start = time.monotonic()
    done = doctor("--store", str(store), "--json", home=tmp_path, cmr=f"http://127.0.0.1:{port}")
    assert done.returncode == 1
    assert findings(done)["cmr"][0] == "failed"
    assert time.monotonic() - start < 100


def test_places_that_cannot_be_used_are_told(cmr: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = doctor(
        "--staging", str(tmp_path / "file"), "--trust", str(tmp_path / "missing"),
        home=tmp_path, cmr=cmr.url, token=None,
    )  # fmt: skip
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert any(own.startswith("failed  staging: ") for own in lines)
    assert any(own.startswith("warning trust: ") and "does not exist" in own for own in lines)


@pytest.mark.parametrize("token", ["opaque", "a.b.c", "a.e30.c", "..", "a.W10.c", "é.é.é"])
def test_token_of_another_form_is_neither_good_nor_bad(token: str) -> None:
    assert token_end(token) is None
    assert check_token(token).verdict is Verdict.WARNING


def test_token_is_judged_by_its_own_end() -> None:
    token = jwt(100)
    end = token_end(token)
    assert end is not None
    assert abs((end - datetime.now(UTC)).total_seconds() - 100) < 5
    assert check_token(token).verdict is Verdict.OK
    assert check_token(token, end).verdict is Verdict.FAILED
