"""The table of threats names tests that exist, and every attack stands in it."""

import re

from conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "security.md").read_text()
ATTACKS = ("test_threats.py", "test_security.py")


def defined(*names: str) -> set[str]:
    found = (REPOSITORY / "tests").rglob("test_*.py")
    texts = [own.read_text() for own in found if not names or own.name in names]
    return set(re.findall(r"^(?:async )?def (test_\w+)", "\n".join(texts), re.MULTILINE))


def test_every_test_in_the_table_exists() -> None:
    assert set(re.findall(r"`(test_\w+)`", PAGE)) - defined() == set()


def test_every_attack_stands_in_the_table() -> None:
    assert defined(*ATTACKS) - set(re.findall(r"`(test_\w+)`", PAGE)) == set()


def test_every_threat_is_attacked() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 18
    for row in rows:
        threat, done, tests = (part.strip() for part in row.strip("|").split(" | "))
        assert threat
        assert done
        assert tests.count("`test_") >= 1
