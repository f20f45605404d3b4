"""What may be read, and what a hostile manifest, record or redirect cannot reach."""

import pickle
from pathlib import Path

import pytest

from harmony_vds.access.trust import Address, Trust, is_private
from harmony_vds.errors import SettingsError, UntrustedError

ARCHIVE = "https://archive.podaac.earthdata.nasa.gov/podaac-ops-cumulus-protected/a.nc"


@pytest.mark.parametrize(
    "url",
    [
        ARCHIVE,
        "s3://podaac-ops-cumulus-protected/a/b.nc",
        "https://podaac-ops-cumulus-public.s3.us-west-2.amazonaws.com/a.json",
        "HTTPS://ARCHIVE.podaac.earthdata.nasa.gov:443/a.nc",
    ],
)
def test_shipped_places_are_read_without_any_setting(url: str) -> None:
    assert Trust.of_settings(()).check(url).scheme in ("https", "s3")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/hostname",
        "file:/etc/hostname",
        "/etc/hostname",
        "etc/hostname",
        "gopher://archive.podaac.earthdata.nasa.gov/",
        "ftp://archive.podaac.earthdata.nasa.gov/a.nc",
        "javascript:alert(1)",
        "http://archive.podaac.earthdata.nasa.gov/a.nc",
        "https://evil.example.com/a.nc",
        "https://archive.podaac.earthdata.nasa.gov.evil.example.com/a.nc",
        "https://evil.example.com/archive.podaac.earthdata.nasa.gov/a.nc",
        "https://evilarchive.podaac.earthdata.nasa.gov/a.nc",
        "https://archive.podaac.earthdata.nasa.gov@evil.example.com/a.nc",
        "https://user:password@archive.podaac.earthdata.nasa.gov/a.nc",
        "https://archive.podaac.earthdata.nasa.gov:8443/a.nc",
        r"https://evil.example.com\.earthdata.nasa.gov/a.nc",
        "https://archive。podaac.earthdata.nasa.gov/a.nc",
        "s3://podaac-ops-cumulus-protected.evil/a",
        "s3://somebody-else/a",
        "s3:podaac-ops-cumulus-protected/a",
        "https://[::1/a",
        "https://archive.podaac.earthdata.nasa.gov:99999/a.nc",
        "https://archive.podaac.earthdata.nasa.gov:x/a.nc",
        "",
    ],
)
def test_places_that_nobody_named_are_refused(url: str) -> None:
    with pytest.raises(UntrustedError):
        Trust.of_settings(()).check(url)


def test_null_byte_in_file_name_is_refused_rather_than_crashing() -> None:
    with pytest.raises(UntrustedError, match="malformed"):
        Trust.of_settings(["file:///data/"]).check("file:///data/a\0b")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8443",
        "[::1]",
        "[::1]:8443",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]:443",
        "[64:ff9b::7f00:1]",
        "[2002:a9fe:a9fe::]",
        "[fd00:ec2::254]",
        "169.254.169.254",
        "10.0.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "localhost",
        "LOCALHOST:8443",
        "metadata.google.internal",
        "printer.local",
    ],
)
def test_record_cannot_name_a_private_address(host: str) -> None:
    trust = Trust.of_settings(()).recording([f"https://{host}/store"])
    with pytest.raises(UntrustedError):
        trust.check(f"https://{host}/store/repo")
    with pytest.raises(UntrustedError):
        trust.check_redirect(f"https://{host}/store/repo")


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "[2001:4860:4860::8888]", "example.com", "[::ffff:8.8.8.8]"]
)
def test_public_addresses_are_not_taken_for_private(host: str) -> None:
    assert not is_private(Address.of(f"https://{host}:8443/").hostname)


def test_record_cannot_name_files_or_plain_http() -> None:
    trust = Trust.of_settings(()).recording(["file:///etc/", "http://example.com/"])
    for url in ("file:///etc/hostname", "http://example.com/store"):
        with pytest.raises(UntrustedError):
            trust.check(url)


def test_record_widens_trust_by_its_own_prefix_only() -> None:
    trust = Trust.of_settings(()).recording(["https://example.com/a/store", "s3://named/part/"])
    assert trust.check("https://example.com/a/store/repo").path == "/a/store/repo"
    assert trust.check("s3://named/part/x").host == "named"
    for url in ("https://example.com/a/store2", "https://example.com/a", "s3://named/other"):
        with pytest.raises(UntrustedError):
            trust.check(url)
    with pytest.raises(UntrustedError):
        Trust.of_settings(()).check("https://example.com/a/store/repo")


@pytest.mark.parametrize(
    "url",
    [
        "file:///database/secret",
        "file:///data/../etc/passwd",
        "file:///data/%2e%2e/etc/passwd",
        "file:///data/%2E%2E%2Fetc%2Fpasswd",
        "file:///data/./../etc/passwd",
        "file:///data//../../etc/passwd",
        "file://data/../etc/passwd",
    ],
)
def test_operators_file_prefix_cannot_be_left(url: str) -> None:
    with pytest.raises(UntrustedError):
        Trust.of_settings(["file:///data/"]).check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/database/x",
        "http://127.0.0.1:8080/data/../secret",
        "http://127.0.0.1:8080/data/%2e%2e/secret",
        "http://127.0.0.1:8080/data/%2e%2e%2fsecret",
        "http://127.0.0.1:8081/data/x",
        "http://127.0.0.1/data/x",
        "https://127.0.0.1:8080/data/x",
        "http://127.0.0.2:8080/data/x",
    ],
)
def test_operators_http_prefix_lifts_the_rules_for_exactly_that_prefix(url: str) -> None:
    trust = Trust.of_settings(["http://127.0.0.1:8080/data/"])
    assert trust.check("http://127.0.0.1:8080/data/x").url == "http://127.0.0.1:8080/data/x"
    with pytest.raises(UntrustedError):
        trust.check(url)


@pytest.mark.parametrize("key", ["a/../../other/x", "../other/x", "a/%2e%2e/x", "./x"])
def test_relative_parts_in_s3_keys_are_refused(key: str) -> None:
    trust = Trust.of_settings(["s3://bucket/a/"])
    with pytest.raises(UntrustedError):
        trust.check(f"s3://bucket/a/{key}")


def test_symbolic_link_cannot_lead_out_of_operators_folder(tmp_path: Path) -> None:
    inside, outside = tmp_path / "data", tmp_path / "secret"
    inside.mkdir()
    outside.mkdir()
    (outside / "key").write_text("x")
    (inside / "granule.nc").symlink_to(outside / "key")
    (inside / "folder").symlink_to(outside)
    (inside / "own").write_text("y")
    (inside / "alias").symlink_to(inside / "own")
    trust = Trust.of_settings([f"{inside.as_uri()}/"])
    assert trust.check((inside / "alias").as_uri()).path == str((inside / "own").resolve())
    for link in ("granule.nc", "folder/key"):
        with pytest.raises(UntrustedError):
            trust.check(f"{inside.as_uri()}/{link}")


def test_operators_folder_may_itself_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a").write_text("x")
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    trust = Trust.of_settings([(tmp_path / "data").as_uri()])
    assert trust.check((tmp_path / "data" / "a").as_uri()).path == str(tmp_path / "disk" / "a")


@pytest.mark.parametrize(
    "target",
    [
        "https://podaac-ops-cumulus-protected.s3.us-west-2.amazonaws.com/k?X-Amz-Signature=1",
        "https://d111111abcdef8.cloudfront.net/k?Signature=1",
        ARCHIVE,
    ],
)
def test_redirects_to_signed_urls_are_followed(target: str) -> None:
    assert Trust.of_settings(()).check_redirect(target).url == target


@pytest.mark.parametrize(
    "target",
    [
        "http://podaac-ops-cumulus-protected.s3.us-west-2.amazonaws.com/k",
        "https://evil.example.com/k",
        "https://amazonaws.com.evil.example.com/k",
        "https://evilamazonaws.com/k",
        "https://169.254.169.254/latest/meta-data/",
        "file:///data/x",
        "s3://podaac-ops-cumulus-protected/k",
        "",
    ],
)
def test_redirects_elsewhere_are_refused(target: str) -> None:
    with pytest.raises(UntrustedError):
        Trust.of_settings(["file:///data/"]).check_redirect(target)


def test_unusable_operator_prefix_is_the_operators_error_and_names_the_setting() -> None:
    with pytest.raises(SettingsError, match="HARMONY_VDS_TRUSTED_PREFIXES"):
        Trust.of_settings(["/data"])


def test_refusal_says_who_can_change_it() -> None:
    with pytest.raises(UntrustedError, match=r"DirectDistributionInformation.*operator"):
        Trust.of_settings(()).check("https://example.com/store")


MOVED = ("file:///home/me/=file:///srv/data/", "s3://old/=https://example.com/",
         "s3://old/new/=s3://bucket/a/")  # fmt: skip


@pytest.mark.parametrize(
    ("url", "now"),
    [
        ("file:///home/me/a.nc", "file:///srv/data/a.nc"),
        ("s3://old/new/a.nc", "s3://bucket/a/a.nc"),
        ("s3://old/b/a.nc", "https://example.com/b/a.nc"),
        ("s3://bucket/a/a.nc", "s3://bucket/a/a.nc"),
    ],
)
def test_place_that_the_operator_moves_is_read_where_it_lies_now(url: str, now: str) -> None:
    trust = Trust.of_settings(
        ["file:///srv/data/", "s3://bucket/a/", "https://example.com/b/"], MOVED
    )
    for own in (trust, trust.recording(["s3://other/"]), pickle.loads(pickle.dumps(trust))):
        assert str(own.check(url)) == now


@pytest.mark.parametrize(
    "url",
    [
        "file:///home/me/a.nc",
        "file:///home/me/../../etc/passwd",
        "file:///home/you/a.nc",
        "s3://old/a.nc",
        "s3://old/new/../secret",
    ],
)
def test_moving_a_place_trusts_neither_its_old_nor_its_new_address(url: str) -> None:
    trust = Trust.of_settings(["s3://bucket/a/"], MOVED).recording(["file:///home/me/"])
    with pytest.raises(UntrustedError):
        trust.check(url)


def test_redirect_is_not_followed_by_way_of_a_moved_place() -> None:
    trust = Trust.of_settings(
        ["https://example.com/"], ["https://stranger.org/=https://example.com/"]
    )
    assert trust.check("https://stranger.org/a").host == "example.com"
    with pytest.raises(UntrustedError, match=r"stranger\.org"):
        trust.check_redirect("https://stranger.org/a")


@pytest.mark.parametrize(
    "pair", ["s3://old/", "s3://old=s3://new/", "s3://old/=s3://new", "/old/=s3://new/", "=", ""]
)
def test_pair_that_is_none_is_refused_naming_its_setting(pair: str) -> None:
    with pytest.raises(SettingsError, match="HARMONY_VDS_REWRITE_PREFIXES"):
        Trust.of_settings((), [pair])
