"""Who receives the user's token, and that nothing shows it."""

import copy
import pickle

import pytest
from invocation import CANARY

from harmony_vds.access.credentials import Credentials
from harmony_vds.telemetry import redact


@pytest.mark.parametrize(
    ("url", "receives"),
    [
        ("https://archive.podaac.earthdata.nasa.gov/a.nc", True),
        ("https://ARCHIVE.PODAAC.EARTHDATA.NASA.GOV/a.nc", True),
        ("https://data.lpdaac.earthdatacloud.nasa.gov/a.nc", True),
        ("https://listed.example.org/a.nc", True),
        ("https://cmr.example.org/search/collections.umm_json", True),
        ("https://cmr.example.org:8443/search/collections.umm_json", False),
        ("http://cmr.example.org/search/collections.umm_json", False),
        ("http://archive.podaac.earthdata.nasa.gov/a.nc", False),
        ("http://listed.example.org/a.nc", False),
        ("https://other.listed.example.org/a.nc", False),
        ("https://listed.example.org.evil.com/a.nc", False),
        ("https://earthdata.nasa.gov.evil.com/a.nc", False),
        ("https://evil-earthdata.nasa.gov/a.nc", False),
        ("https://evilearthdata.nasa.gov/a.nc", False),
        ("https://evil.com/x.earthdata.nasa.gov", False),
        ("https://evil.com/?x=.earthdata.nasa.gov", False),
        ("https://a.earthdata.nasa.gov@evil.com/a.nc", False),
        ("https://bucket.s3.us-west-2.amazonaws.com/k", False),
        ("https://d111.cloudfront.net/k", False),
        ("s3://podaac-ops-cumulus-protected/k", False),
        ("file:///data/a.nc", False),
    ],
)
def test_token_goes_to_earthdata_listed_hosts_and_cmr_only(url: str, receives: bool) -> None:
    own = Credentials.of_token(CANARY, ["Listed.example.org"]).also_for("https://cmr.example.org/")
    expected = {"Authorization": f"Bearer {CANARY}"} if receives else {}
    assert own.authorization(url) == expected


def test_without_token_nothing_is_sent() -> None:
    own = Credentials.of_token(None)
    assert own.authorization("https://archive.podaac.earthdata.nasa.gov/a.nc") == {}


def test_token_is_obtained_once_and_only_when_needed() -> None:
    asked = []

    def source() -> str:
        asked.append(1)
        return CANARY

    own = Credentials(source)
    own.authorization("https://example.com/")
    assert asked == []
    for _ in range(3):
        own.authorization("https://archive.podaac.earthdata.nasa.gov/a.nc")
        own.also_for("https://cmr.example.org").authorization("https://cmr.example.org/x")
    assert asked == [1]


def test_token_shows_in_no_repr_and_no_pickle() -> None:
    own = Credentials.of_token(CANARY).also_for("https://cmr.example.org")
    own.authorization("https://cmr.example.org/")
    assert CANARY not in f"{own!r} {own} {[own]}"
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(own)


def test_token_is_masked_in_any_text_from_then_on() -> None:
    token = "an-opaque-token-without-any-pattern"
    Credentials.of_token(token)
    assert token not in redact(f"x{token}y")
