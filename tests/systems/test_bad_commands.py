"""A command line that cannot be followed is refused in words, as a message is."""

from pathlib import Path

import pytest
from bad_commands import ALSO_COMMANDS, COMMANDS, FILES
from bad_requests import NO_DATA, NO_RETRY
from templates import template_of

from harmony_vds.cli.main import app
from harmony_vds.errors import ErrorGroup, VdsError

WORDS = [said for said, _, _ in (*NO_RETRY, *NO_DATA, *COMMANDS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("command")
    for name, text in FILES.items():
        (place / name).write_text(text)
    return place


@pytest.mark.parametrize(
    ("said", "named", "arguments"), [*COMMANDS, *ALSO_COMMANDS],
    ids=[" ".join(own[2])[:60] for own in (*COMMANDS, *ALSO_COMMANDS)],
)  # fmt: skip
def test_command_that_cannot_be_followed_says_what_to_change(
    said: str, named: str, arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(VdsError) as caught:
        app([own.replace("@", str(folder), 1) for own in arguments], standalone_mode=False)
    told = str(caught.value)
    assert caught.value.group is ErrorGroup.REQUEST
    template = template_of(told.replace(f"{folder}/absent.nc4", "torn.json"))
    assert [own for own in WORDS if own in template] == [said], template
    assert named in told
    assert len(told) < 1000
    assert capsys.readouterr().out == ""


def test_no_two_commands_are_refused_in_the_same_words() -> None:
    assert len(WORDS) == len(set(WORDS))
