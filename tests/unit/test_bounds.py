"""Manifests that would fill the memory of a reader that believes them: refused by number and limit.

Each is opened in a process that may not use much more than it needs for importing.
"""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ARRAY = {"shape": [4], "chunks": [2], "dtype": "<i2", "fill_value": 0, "order": "C",
         "filters": None, "compressor": None, "zarr_format": 2}  # fmt: skip
HEAD = '{"version":1,"refs":{".zgroup":"{\\"zarr_format\\":2}"'
MEMORY = 700 * 2**20
"""Bytes beyond what is mapped after importing."""


def zarray(path: str, **odd: object) -> str:
    own = json.dumps(json.dumps(ARRAY | odd))
    dimensions = json.dumps(json.dumps({"_ARRAY_DIMENSIONS": [f"d{n}" for n in range(
        len(odd.get("shape", [1])))]}))  # fmt: skip
    return f',"{path}/.zarray":{own},"{path}/.zattrs":{dimensions}'


def gzip_bomb() -> bytes:
    """Four gigabytes of blanks in four megabytes, as many small parts."""
    return gzip.compress(HEAD.encode()) + gzip.compress(b" " * 2**20) * 4096


def vast_grid() -> bytes:
    return (HEAD + zarray("field", shape=[10**15], chunks=[1]) + "}}").encode()


def vast_chunk() -> bytes:
    return (HEAD + zarray("field", shape=[10**15], chunks=[10**15]) + "}}").encode()


def deep() -> bytes:
    return f'{HEAD},"field/0":'.encode() + b"[" * 10_000_000


def deep_in_metadata() -> bytes:
    nested = json.dumps("[" * 200_000 + "]" * 200_000)
    return f'{HEAD},"field/.zarray":{nested}}}}}'.encode()


def long_attribute() -> bytes:
    text = json.dumps(json.dumps({"history": "x" * 17_000_000}))
    return f'{HEAD}{zarray("field")},".zattrs":{text}}}}}'.encode()


def _listed(entries: Iterator[str]) -> bytes:
    return f"{HEAD}{zarray('field')},{','.join(entries)}}}}}".encode()


def many_folders() -> bytes:
    return _listed(f'"{n}/0":["s3://b/x",0,1]' for n in range(700_000))


def many_sources() -> bytes:
    return _listed(f'"field/{n}":["s3://b/{n}",0,1]' for n in range(2_200_000))


def many_documents() -> bytes:
    return _listed(f'"a{n}/.zattrs":"{{}}"' for n in range(140_000))


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        pytest.param(gzip_bomb, "2,147,483,648 bytes", marks=pytest.mark.scale),
        (vast_grid, "1,000,000,000,000,000 chunks; at most 33,554,432"),
        (vast_chunk, "1,000,000,000,000,000 positions"),
        (deep, "nested too deep"),
        (deep_in_metadata, "nested deeper than 64 levels"),
        (long_attribute, "bytes; at most 16,777,216"),
        pytest.param(many_folders, "524,288 folders", marks=pytest.mark.scale),
        pytest.param(many_sources, "2,097,152 source files", marks=pytest.mark.scale),
        (many_documents, "131,072 metadata documents"),
    ],
)
def test_manifest_beyond_reason_is_refused_within_bounded_memory(
    attack: Callable[[], bytes], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "refs.json"
    path.write_bytes(attack())
    allowed = MEMORY if attack is not gzip_bomb else MEMORY + 2**31
    code = (
        "import resource\n"
        "from pathlib import Path\n"
        "from harmony_vds.cli.main import main\n"
        "import harmony_vds.pipeline, harmony_vds.catalog\n"
        "mapped = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        f"resource.setrlimit(resource.RLIMIT_AS, (mapped + {allowed},) * 2)\n"
        "main()"
    )
    command = [sys.executable, "-c", code, "subset", "--store", str(path), "--trust", str(tmp_path),
               "--dry-run", "--variable", "field"]  # fmt: skip
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    said = " ".join(done.stderr.split())
    assert told in said
    assert "Traceback" not in said
