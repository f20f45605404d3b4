"""What an operator can set."""

import pytest

from harmony_vds.errors import SettingsError
from harmony_vds.settings import PRODUCTION_CMR, UAT_CMR, settings_from_environment


@pytest.mark.parametrize(
    ("environment", "root"),
    [
        ({}, PRODUCTION_CMR),
        ({"OAUTH_HOST": "https://urs.earthdata.nasa.gov"}, PRODUCTION_CMR),
        ({"OAUTH_HOST": "https://uat.urs.earthdata.nasa.gov"}, UAT_CMR),
        ({"USER_AGENT": "harmony (harmony-uat) harmony-service-lib"}, UAT_CMR),
        ({"CMR_ENDPOINT": "http://127.0.0.1:8080/"}, "http://127.0.0.1:8080"),
        ({"CMR_ENDPOINT": "https://cmr.example.org", "OAUTH_HOST": "https://uat.urs.earthdata.nasa.gov"},
         "https://cmr.example.org"),
    ],
)  # fmt: skip
def test_cmr_is_what_the_operator_says_or_harmonys_environment_implies(
    environment: dict[str, str], root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CMR_ENDPOINT", "OAUTH_HOST", "USER_AGENT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert settings_from_environment().cmr_root == root


@pytest.mark.parametrize(
    ("text", "number"),
    [("1000", 1000), ("8GiB", 8 * 2**30), ("1.5MB", 1_500_000), ("512 KiB", 512 * 1024)],
)
def test_sizes_are_numbers_or_have_units(
    text: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMONY_VDS_MAX_READ_BYTES", text)
    assert settings_from_environment().max_read_bytes == number


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HARMONY_VDS_MAX_READ_BYTES", "lots"),
        ("HARMONY_VDS_MAX_OUTPUT_BYTES", "-"),
        ("HARMONY_VDS_MAX_SECONDS", "0"),
        ("HARMONY_VDS_MAX_SECONDS", "soon"),
        ("HARMONY_VDS_READER", "magic"),
    ],
)
def test_unusable_setting_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        settings_from_environment()


def test_lists_are_split_at_commas_and_trimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMONY_VDS_TRUSTED_PREFIXES", " file:///data/ ,, http://127.0.0.1:8080/ ")
    assert settings_from_environment().trusted_prefixes == (
        "file:///data/",
        "http://127.0.0.1:8080/",
    )
