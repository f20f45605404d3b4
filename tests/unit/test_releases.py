"""What a release is made of."""

import re
import subprocess
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from conftest import REPOSITORY

VERSION = (REPOSITORY / "docker" / "service_version.txt").read_text().strip()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([REPOSITORY / "bin" / "build-wheel", folder], check=True, capture_output=True)
    return folder


@pytest.mark.checkout
def test_wheel_has_the_version_of_the_image_and_all_modules(built: Path) -> None:
    (path,) = built.glob("*.whl")
    assert (built / f"harmony_vds-{VERSION}.tar.gz").is_file()
    with zipfile.ZipFile(path) as wheel:
        names = {own for own in wheel.namelist() if ".dist-info/" not in own}
        about = f"harmony_vds-{VERSION}.dist-info/"
        told = Parser().parsestr(wheel.read(f"{about}METADATA").decode())
        commands = wheel.read(f"{about}entry_points.txt").decode()
    package = REPOSITORY / "harmony_vds"
    wanted = {
        own.relative_to(REPOSITORY).as_posix()
        for own in package.rglob("*")
        if own.is_file() and "__pycache__" not in own.parts
    }
    assert names == wanted
    assert told["Version"] == VERSION
    assert told["License-Expression"] == "Apache-2.0"
    for command in ("harmony-vds", "harmony-vds-validate"):
        assert re.search(rf"^{command} = harmony_vds", commands, re.MULTILINE)


def test_changelog_tells_of_what_is_released_and_of_what_is_not() -> None:
    headings = re.findall(
        r"^## \[(.+?)\](.*)$", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert headings[0] == ("Unreleased", "")
    for version, date in headings[1:]:
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert re.fullmatch(r" - \d{4}-\d\d-\d\d", date)
    released = [tuple(map(int, version.split("."))) for version, _ in headings[1:]]
    assert released == sorted(released, reverse=True)
    now = tuple(map(int, VERSION.split(".")))
    assert all(own <= now for own in released)
