"""Who receives the user's token, and that nothing shows it."""

import copy
import pickle
import subprocess
import sys

import pytest
from invocation import CANARY

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.gateway import Access
from harmony_vds.settings import Settings
from harmony_vds.telemetry import redact


@pytest.mark.parametrize(
    ("url", "receives"),
    [
        ("https://archive.podaac.earthdata.nasa.gov/a.nc", True),
        ("https://ARCHIVE.PODAAC.EARTHDATA.NASA.GOV/a.nc", True),
        ("https://data.lpdaac.earthdatacloud.nasa.gov/a.nc", True),
        ("https://listed.example.org/a.nc", True),
        ("https://cmr.example.org/search/collections.umm_json", True),
        ("http://127.0.0.1:8080/s3credentials", True),
        ("https://archive.podaac.earthdata.nasa.gov:443/a.nc", True),
        ("https://archive.podaac.earthdata.nasa.gov:8443/a.nc", False),
        ("https://listed.example.org:8443/a.nc", False),
        ("https://user:x@archive.podaac.earthdata.nasa.gov/a.nc", False),
        ("https://archive.podaac.earthdata.nasa.gov./a.nc", False),
        ("https://127.0.0.1:8080/s3credentials", False),
        ("http://127.0.0.1:8081/s3credentials", False),
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
    hosts = ["Listed.example.org", "http://127.0.0.1:8080/"]
    own = Credentials.of_token(CANARY, hosts).also_for("https://cmr.example.org/")
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


def test_worker_gets_the_token_on_purpose_only_and_shows_it_nowhere() -> None:
    own = Credentials.of_token(CANARY, ["listed.example.org"]).also_for("https://cmr.example.org")
    sent = own.for_worker()
    assert CANARY not in f"{sent!r} {sent} {[sent]}"
    arrived = pickle.loads(pickle.dumps(sent))
    assert arrived == sent
    assert hash(arrived) == hash(sent)
    for url in ("https://listed.example.org/a", "https://cmr.example.org/a", "https://evil.com/a"):
        assert arrived.restore().authorization(url) == own.authorization(url)


def test_log_of_a_worker_masks_the_token_too() -> None:
    pickled = pickle.dumps(Credentials.of_token("another-opaque-token-5521").for_worker())
    code = (
        "import pickle, sys; own = pickle.load(sys.stdin.buffer);"
        "from harmony_vds.telemetry import redact; print(redact(f'{own.token}'), own)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickled, capture_output=True)
    assert done.stdout.decode().split("\n")[0] == "<redacted> WorkerCredentials(<redacted>)"


def test_access_reopens_in_a_worker_with_all_that_was_recorded() -> None:
    own = Access.of(Settings(trusted_prefixes=("file:///data/",)), Credentials.of_token(CANARY))
    own = own.recording(("s3://b-1/k/",), "us-east-1", "https://x.earthdata.nasa.gov/s3credentials")
    sent = own.for_worker()
    assert CANARY not in f"{sent!r} {sent}"
    arrived = pickle.loads(pickle.dumps(sent))
    assert arrived == sent
    assert hash(arrived) == hash(sent)
    with arrived.restore() as access:
        assert access.fetcher.trust == own.fetcher.trust
        assert access.fetcher.buckets == own.fetcher.buckets


def test_token_is_masked_in_any_text_from_then_on() -> None:
    token = "an-opaque-token-without-any-pattern"
    Credentials.of_token(token)
    assert token not in redact(f"x{token}y")
