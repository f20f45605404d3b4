"""Documentation that runs: every code block, against the code."""

import inspect
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import harmony
import pytest
import typer
import yaml
from conftest import REPOSITORY

from harmony_vds.cli.main import app
from harmony_vds.discovery.overrides import Overrides
from harmony_vds.model.request import Source

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(*languages: str) -> list[tuple[str, str, str]]:
    return [
        (page.name, language, code)
        for page in PAGES
        for language, code in BLOCK.findall(page.read_text())
        if language in languages
    ]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that looks like the checkout, in which blocks may leave files and a server."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("bin", "harmony_vds", "docker"):
        shutil.copytree(REPOSITORY / name, folder / name)
    for name in ("pyproject.toml", "uv.lock", "README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder)
    for name in ("tests", ".venv"):
        (folder / name).symlink_to(REPOSITORY / name)
    try:
        yield folder
    finally:
        subprocess.run([folder / "bin" / "demo-server", "stop"], cwd=folder, check=False)


def free_port() -> int:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


def test_every_block_has_a_language_that_some_test_runs_or_checks() -> None:
    fences = [line for page in PAGES for line in page.read_text().splitlines() if line[:3] == "```"]
    opened = [line[3:] for line in fences[::2]]
    assert set(opened) <= {"bash", "python", "json", "yaml", "toml", "text", "{toctree}"}
    assert len(fences) % 2 == 0


def test_words_for_asking_are_those_of_harmony_py_and_of_the_command() -> None:
    page = (REPOSITORY / "docs" / "requests.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if len(row) == 3 and "=" in row[1]]
    named = {own for row in rows for own in re.findall(r"`(\w+)=", row[1])}
    assert {"spatial", "temporal", "scale_extent", "service_id"} <= named
    assert named <= {*inspect.signature(harmony.Request).parameters}
    options = {own for row in rows for own in re.findall(r"--[\w-]+", row[2])}
    assert {"--bbox", "--average", "--cell"} <= options
    command = typer.main.get_command(app).commands["subset"]
    assert options <= {own for parameter in command.params for own in parameter.opts}


@pytest.mark.checkout
def test_shell_and_python_blocks_run_in_order(checkout: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "HARMONY"))}
    environment["PATH"] = f"{REPOSITORY / '.venv' / 'bin'}:{os.environ['PATH']}"
    environment["PYTHONWARNINGS"] = "ignore"
    environment["LOCALHOST_PORT"] = str(free_port())  # of the tutorial's server
    ran: set[str] = set()
    for page, language, code in blocks("bash", "python"):
        if code.strip() == "bin/test":
            continue  # this is it running; test_ci_runs_the_command_of_the_readme holds the rest
        if code.strip() == "bin/demo" and code in ran:
            continue  # what it makes is there
        command = ["bash", "-euo", "pipefail", "-c", code]
        if language == "python":
            command = ["python", "-c", code]
        done = subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{page}: {code}\n{done.stdout}\n{done.stderr}"
        ran.add(code)
    assert len(ran) >= 12
    assert (checkout / "demo-output" / "sst.png").stat().st_size > 10_000


def test_json_and_yaml_blocks_parse() -> None:
    for _, language, code in blocks("json", "yaml"):
        assert json.loads(code) if language == "json" else yaml.safe_load(code)


def test_operators_table_in_the_pages_is_one_that_is_read(tmp_path: Path) -> None:
    ((_, _, code),) = blocks("toml")
    (tmp_path / "collections.toml").write_text(code)
    told = Overrides.of_file(str(tmp_path / "collections.toml")).of(Source("C1-T", "RASI"))
    assert told is not None
    assert [own.label for own in told.candidates] == ["HISTORICAL", "SSP245"]


@pytest.mark.checkout
def test_ci_runs_the_command_of_the_readme() -> None:
    assert ("README.md", "bash", "bin/test\n") in blocks("bash")
    script = (REPOSITORY / ".ci" / "run").read_text()
    assert script.rstrip().endswith("\nbin/test")
    assert os.access(REPOSITORY / "bin" / "test", os.X_OK)
