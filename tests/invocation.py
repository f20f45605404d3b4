"""Runs the service as Harmony's runner does: a fresh process, a message, a metadata folder."""

import base64
import fcntl
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forks
from nacl.secret import SecretBox
from nacl.utils import random
from servers import Server, cmr_server
from world import kerchunk_references, umm_collection, write_references

SHARED_SECRET = "_THIS_IS_MY_32_CHARS_SECRET_KEY_"
CANARY = "canary-token-7f3a9c51e8"


def encrypted(token: str, secret: str = SHARED_SECRET) -> str:
    """A token as Harmony puts it into a message."""
    nonce = random(SecretBox.NONCE_SIZE)
    sealed = SecretBox(secret.encode()).encrypt(token.encode(), nonce)
    return ":".join(base64.b64encode(part).decode() for part in (nonce, sealed.ciphertext))


def make_message(
    collection: str,
    *,
    short_name: str = "DEMO-SST-L4-GLOB-v1.0",
    version: str = "1.0",
    variables: list[str] | None = None,
    bbox: list[float] | None = None,
    temporal: dict[str, str] | None = None,
    token: str = CANARY,
    staging: str = "",
    **more: Any,
) -> dict[str, Any]:
    """A Harmony message of schema 0.22.0."""
    source: dict[str, Any] = {"collection": collection, "shortName": short_name,
                              "versionId": version, "coordinateVariables": []}  # fmt: skip
    if variables is not None:
        source["variables"] = [
            {"id": f"V{n}-TEST", "name": name, "fullPath": name, "type": "SCIENCE_VARIABLE"}
            for n, name in enumerate(variables)
        ]
    subset: dict[str, Any] = {"dimensions": []}
    if bbox is not None:
        subset["bbox"] = bbox
    message: dict[str, Any] = {
        "version": "0.22.0", "sources": [source], "format": {"mime": "application/netcdf"},
        "subset": subset, "isSynchronous": False, "concatenate": False, "user": "somebody",
        "client": "harmony-test", "requestId": str(uuid.uuid4()), "stagingLocation": staging,
        "accessToken": encrypted(token),
    }  # fmt: skip
    if temporal is not None:
        message["temporal"] = temporal
    return {**message, **more}


@contextmanager
def shape_file(text: str) -> Iterator[None]:
    """A shape where Harmony's runner puts those of EDR requests: one place on a machine."""
    folder = os.open("/tmp", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        path = Path("/tmp/shapefile.json")
        path.write_text(text)
        try:
            yield
        finally:
            path.unlink()
    finally:
        os.close(folder)


@contextmanager
def publishing_days(
    root: Path, files: list[Path], url: str, s3: str
) -> Iterator[tuple[Server, dict[str, str]]]:
    """A CMR in which C1-T has references to `files`, and the environment of who asks for it.

    A server gives what is below `root` at `url`, as its own or another host's.
    """
    here = f"{root.as_uri()}/"
    references = kerchunk_references(files, lambda own: own.replace(here, f"{url}/"))
    write_references(root / "refs.json", references)
    record = umm_collection("C1-T", [f"{url}/refs.json"])
    with cmr_server({"C1-T": record}, token=CANARY) as cmr:
        yield cmr, {
            "CMR_ENDPOINT": cmr.url, "HARMONY_VDS_TRUSTED_PREFIXES": f"{url}/",
            "SOURCE_DATE_EPOCH": "1700000000", "PYTHONWARNINGS": "ignore",
            "AWS_ENDPOINT_URL_S3": s3, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        }  # fmt: skip


@dataclass
class Outcome:
    """What an invocation left behind."""

    status: int
    stderr: str
    metadata: Path

    @property
    def error(self) -> dict[str, str]:
        """``error.json``, or an empty dict."""
        path = self.metadata / "error.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def catalog(self) -> dict[str, Any]:
        return json.loads((self.metadata / "catalog.json").read_text())

    @property
    def batch(self) -> list[Path]:
        """The catalogues of a step that makes several work items, as Harmony finds them."""
        names = json.loads((self.metadata / "batch-catalogs.json").read_text())
        assert (self.metadata / "batch-count.txt").read_text() == str(len(names))
        return [self.metadata / name for name in names]

    @property
    def items(self) -> list[dict[str, Any]]:
        """The catalogue's items, found by its links as Harmony finds them."""
        return items_of(self.metadata / "catalog.json")

    @property
    def data(self) -> list[Path]:
        return [Path(item["assets"]["data"]["href"]) for item in self.items]


def items_of(catalog: Path) -> list[dict[str, Any]]:
    """The items of a flat catalogue."""
    links = json.loads(catalog.read_text())["links"]
    hrefs = [link["href"] for link in links if link["rel"] == "item"]
    return [json.loads((catalog.parent / href).read_text()) for href in hrefs]


def invoke(
    message: dict[str, Any],
    folder: Path,
    *,
    environment: dict[str, str] | None = None,
    data_location: str | None = "",
    metadata: str | None = None,
    sources: str = "",
    input_file: bool = False,
    cwd: Path | None = None,
    anew: bool = False,
    meanwhile: Callable[[int], None] | None = None,
) -> Outcome:
    """Run ``python -m harmony_vds --harmony-action invoke …`` in a process of its own.

    The process is started `anew`, or else forked from one that has the libraries imported, and
    `meanwhile` called with its number.

    `data_location` defaults to a folder of its own; None leaves the message's stagingLocation.
    With `input_file` the message comes in a file, as the runner hands on long ones.
    """
    metadata_dir = folder / "metadata"
    arguments = ["--harmony-action", "invoke", "--harmony-input", json.dumps(message),
                 "--harmony-sources", sources,
                 "--harmony-metadata-dir", metadata or str(metadata_dir)]  # fmt: skip
    if input_file:
        (folder / "operation.json").write_text(json.dumps(message))
        arguments[2:4] = ["--harmony-input-file", str(folder / "operation.json")]
    if data_location is not None:
        arguments += ["--harmony-data-location", data_location or str(folder / "data")]
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH", "TMPDIR")}
    given = {"HOME": str(folder), "SHARED_SECRET_KEY": SHARED_SECRET, "ENV": "", **kept,
             "PYTHONWARNINGS": "default", **(environment or {})}  # fmt: skip
    if anew:
        command = [sys.executable, "-m", "harmony_vds", *arguments]
        done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=300,
                              cwd=cwd)  # fmt: skip
    else:
        done = forks.run(forks.SERVICE, arguments, given, cwd=cwd, meanwhile=meanwhile)
    return Outcome(done.returncode, done.stderr + done.stdout, metadata_dir)
