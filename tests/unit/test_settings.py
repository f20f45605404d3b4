"""What an operator can set."""

import pytest

from harmony_vds.access.credentials import Credentials
from harmony_vds.errors import SettingsError
from harmony_vds.services import Services
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
        ("HARMONY_VDS_MAX_SECONDS", "inf"),
        ("HARMONY_VDS_MAX_MEMORY_BYTES", "0"),
        ("HARMONY_VDS_MAX_DISK_BYTES", "-1GiB"),
        ("HARMONY_VDS_MAX_READ_BYTES", "1,000,000"),
        ("HARMONY_VDS_MAX_READ_BYTES", "8 GiBB"),
        ("HARMONY_VDS_MAX_READ_BYTES", "8Gbit"),
        ("HARMONY_VDS_MAX_OUTPUT_BYTES", "4GiB/s"),
        ("HARMONY_VDS_CACHE_BYTES", "1.2.3"),
        ("HARMONY_VDS_MAX_CHUNKS", "1.5"),
        ("HARMONY_VDS_MAX_PARTS", "-3"),
        ("HARMONY_VDS_READER", "magic"),
        ("HARMONY_VDS_DASK", "https://127.0.0.1:8786"),
        ("HARMONY_VDS_DASK", "tls://scheduler"),
        ("HARMONY_VDS_DASK", "ws://127.0.0.1:8786"),
        ("HARMONY_VDS_DASK", "inproc://127.0.0.1/1"),
        ("HARMONY_VDS_DASK", "tls://[::1"),
        ("HARMONY_VDS_DASK", "tls://:8786"),
        ("HARMONY_VDS_S3_ENDPOINT_URL", "minio:9000"),
        ("HARMONY_VDS_TOKEN_HOSTS", "data.example.org/path"),
        ("HARMONY_VDS_TOKEN_HOSTS", "data.example.org,https://"),
        ("CMR_ENDPOINT", "cmr.earthdata.nasa.gov"),
        ("CMR_ENDPOINT", "https://cmr.earthdata.nasa.gov:port"),
    ],
)
def test_unusable_setting_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        settings_from_environment()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HARMONY_VDS_TRUSTED_PREFIXES", "data.example.org"),
        ("HARMONY_VDS_TRUSTED_PREFIXES", "https://data.example.org:99999/"),
        ("HARMONY_VDS_TRUSTED_PREFIXES", "file:///data/,ftp://data.example.org/"),
        ("HARMONY_VDS_REWRITE_PREFIXES", "s3://bucket/a/"),
        ("HARMONY_VDS_SHAPE_PREFIXES", "bucket/uploads/"),
        ("HARMONY_VDS_COLLECTIONS_FILE", "/nowhere/collections.toml"),
        ("HARMONY_VDS_DASK", "tcp://10.0.0.1:8786"),
    ],
)
def test_setting_that_no_request_can_be_answered_with_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        Services.of(settings_from_environment(), Credentials.of_token(None))


@pytest.mark.parametrize(
    ("name", "value", "field", "taken"),
    [
        ("HARMONY_VDS_DASK", "tls://[2001:db8::1]:8786", "dask", "tls://[2001:db8::1]:8786"),
        ("HARMONY_VDS_DASK", "127.0.0.1:8786", "dask", "127.0.0.1:8786"),
        ("HARMONY_VDS_S3_ENDPOINT_URL", "http://127.0.0.1:9000", "s3_endpoint_url",
         "http://127.0.0.1:9000"),
        ("HARMONY_VDS_MAX_READ_BYTES", ".5GiB", "max_read_bytes", 2**29),
        ("CMR_ENDPOINT", "https://[::1]:8080/", "cmr_endpoint", "https://[::1]:8080/"),
    ],
)  # fmt: skip
def test_usable_setting_is_taken_as_it_is_meant(
    name: str, value: str, field: str, taken: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(settings_from_environment(), field) == taken


def test_lists_are_split_at_commas_and_trimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMONY_VDS_TRUSTED_PREFIXES", " file:///data/ ,, http://127.0.0.1:8080/ ")
    assert settings_from_environment().trusted_prefixes == (
        "file:///data/",
        "http://127.0.0.1:8080/",
    )
