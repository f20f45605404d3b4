"""The licences of everything the image holds are listed, as the packages themselves state them."""

import importlib.metadata
import tomllib

import pytest
from conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "licences.md"
HEAD = """# Licences

What the image installs beside this package, and under which licence, as each package's own metadata
say. The versions stand in `uv.lock`. Written by `pytest tests/unit/test_licences.py --regenerate`.

| package | licence |
|---|---|
"""


def locked() -> list[str]:
    """Names of all packages that the locked package needs to run, on Linux."""
    lock = tomllib.loads((REPOSITORY / "uv.lock").read_text())
    packages = {own["name"]: own for own in lock["package"]}
    waiting, found = list(packages["harmony-vds"]["dependencies"]), set()
    while waiting:
        needed = waiting.pop()
        own = packages[needed["name"]]
        for extra in needed.get("extra", ()):
            waiting += own.get("optional-dependencies", {}).get(extra, ())
        if needed["name"] not in found:
            found.add(needed["name"])
            waiting += own.get("dependencies", ())
    return sorted(found)


def licence_of(name: str) -> str | None:
    try:
        told = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None  # of another platform
    if expression := told.get("License-Expression"):
        return expression
    classes = [
        own.rpartition(" :: ")[2]
        for own in told.get_all("Classifier", ())
        if own.startswith("License ::")
    ]
    if classes and classes != ["OSI Approved"]:
        return "; ".join(classes)
    stated = (told.get("License") or "").strip().splitlines()
    files = ", ".join(told.get_all("License-File", ()))
    return (
        stated[0].rpartition(" :: ")[2][:60]
        if stated
        else f"in its file {files}"
        if files
        else "not stated"
    )


@pytest.fixture(scope="module")
def listed() -> str:
    rows = [(name, licence_of(name)) for name in locked()]
    return HEAD + "".join(f"| {name} | {licence} |\n" for name, licence in rows if licence)


def test_page_lists_the_licence_of_every_locked_package(listed: str, *, regenerate: bool) -> None:
    if regenerate:
        PAGE.write_text(listed)
    assert PAGE.read_text() == listed, "run this test with --regenerate"


def test_every_package_states_a_licence(listed: str) -> None:
    assert "| not stated |" not in listed
    assert "| numpy |" in listed
