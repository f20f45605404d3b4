"""Which endpoint gives credentials for a bucket, and where the same keys lie over https."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_vds.access.buckets import Buckets, Twin, learn_twins
from harmony_vds.access.shipped import shipped
from harmony_vds.access.trust import Address, Trust, is_earthdata

TEA = "https://archive.podaac.earthdata.nasa.gov"


@pytest.mark.parametrize(
    ("direct", "https", "prefix", "twin"),
    [
        ("s3://podaac-ops-cumulus-protected/MUR/a.nc",
         f"{TEA}/podaac-ops-cumulus-protected/MUR/a.nc",
         "s3://podaac-ops-cumulus-protected/", f"{TEA}/podaac-ops-cumulus-protected/"),
        ("s3://asf-cumulus-prod-opera-products/OPERA_L3/x/y.nc",
         "https://cumulus.asf.earthdatacloud.nasa.gov/OPERA/OPERA_L3/x/y.nc",
         "s3://asf-cumulus-prod-opera-products/",
         "https://cumulus.asf.earthdatacloud.nasa.gov/OPERA/"),
        ("s3://gesdisc-cumulus-prod-protected/MERRA2/1980/a.nc4",
         "https://data.gesdisc.earthdata.nasa.gov/data/MERRA2/1980/a.nc4",
         "s3://gesdisc-cumulus-prod-protected/", "https://data.gesdisc.earthdata.nasa.gov/data/"),
        ("s3://ornl-cumulus-prod-protected/daymet/a.nc",
         "https://data.ornldaac.earthdata.nasa.gov/protected/daymet/a.nc",
         "s3://ornl-cumulus-prod-protected/", "https://data.ornldaac.earthdata.nasa.gov/protected/"),
        ("s3://bucket/deep/one/a.nc", "https://x.earthdata.nasa.gov/other/a.nc",
         "s3://bucket/deep/one/", "https://x.earthdata.nasa.gov/other/"),
        ("s3://bucket/a/b.nc", "https://x.earthdata.nasa.gov/a/b.nc",
         "s3://bucket/", "https://x.earthdata.nasa.gov/"),
    ],
)  # fmt: skip
def test_pair_of_links_teaches_how_prefixes_correspond(
    direct: str, https: str, prefix: str, twin: str
) -> None:
    (learnt,) = learn_twins([https], [direct])
    assert learnt == Twin(Address.of(prefix), Address.of(twin))
    assert str(learnt.of(Address.of(direct))) == https


def test_links_without_a_partner_of_the_same_name_teach_nothing() -> None:
    assert learn_twins([f"{TEA}/b/a.nc"], ["s3://b/a.nc.dmrpp", "s3://b/"]) == ()
    assert learn_twins(["s3://b/a.nc", "file:///b/a.nc"], ["s3://b/a.nc"]) == ()
    assert learn_twins(["not a url"], ["s3://b/a.nc"]) == ()


def test_many_links_of_one_granule_teach_one_twin() -> None:
    names = ("a.nc", "a.nc.md5", "a.cmr.json")
    learnt = learn_twins([f"{TEA}/b/x/{n}" for n in names], [f"s3://b/x/{n}" for n in names])
    assert learnt == (Twin(Address.of("s3://b/"), Address.of(f"{TEA}/b/")),)


_PARTS = st.lists(st.sampled_from(["a", "b", "c.d", "x y"]), max_size=4)


@given(_PARTS, _PARTS, _PARTS)
def test_twin_maps_its_own_pair_onto_itself(
    head: list[str], web: list[str], tail: list[str]
) -> None:
    s3 = Address("s3", "bucket", "/" + "/".join([*head, *tail, "f.nc"]))
    https = Address("https", "h.example.org", "/" + "/".join([*web, *tail, "f.nc"]))
    (twin,) = learn_twins([str(https)], [str(s3)])
    assert s3.within(twin.s3)
    assert twin.of(s3) == https


def test_record_tells_the_endpoint_of_its_own_prefixes_only() -> None:
    endpoint = "https://x.earthdata.nasa.gov/s3credentials"
    told = Buckets().recording(("s3://new-bucket/a/", "https://h/"), None, endpoint)
    assert told.endpoint_of(Address.of("s3://new-bucket/a/k")) == endpoint
    assert told.endpoint_of(Address.of("s3://new-bucket/b/k")) is None
    assert told.endpoint_of(Address.of("s3://podaac-ops-cumulus-protected/k")) == (
        f"{TEA}/s3credentials"
    )


def test_longest_prefix_and_latest_record_tell_first() -> None:
    told = (
        Buckets()
        .recording(("s3://b-1/",), None, "https://old/")
        .recording(("s3://b-1/",), None, "https://new/")
    )
    assert told.endpoint_of(Address.of("s3://b-1/a/k")) == "https://new/"
    narrow = told.recording(("s3://b-1/a/",), None, "https://narrow/")
    assert (
        narrow.recording(("s3://b-1/",), None, "https://wide/").endpoint_of(
            Address.of("s3://b-1/a/k")
        )
        == "https://narrow/"
    )


@pytest.mark.parametrize(
    ("address", "twin"),
    [
        ("s3://podaac-ops-cumulus-protected/x/a.nc", f"{TEA}/podaac-ops-cumulus-protected/x/a.nc"),
        ("s3://asf-cumulus-prod-opera-products/x/a.nc",
         "https://cumulus.asf.earthdatacloud.nasa.gov/OPERA/x/a.nc"),
        ("s3://gesdisc-cumulus-prod-protected/x/a.nc",
         "https://data.gesdisc.earthdata.nasa.gov/data/x/a.nc"),
        ("s3://ornl-cumulus-prod-protected/x/a.nc",
         "https://data.ornldaac.earthdata.nasa.gov/protected/x/a.nc"),
        ("s3://nasa-waterinsight/x/a.nc", None),
    ],
)  # fmt: skip
def test_shipped_list_knows_the_https_form_of_the_archives_buckets(
    address: str, twin: str | None
) -> None:
    own = Address.of(address)
    found = Buckets().twin_of(own)
    assert (None if found is None else str(found.of(own))) == twin


def test_what_links_teach_goes_before_the_shipped_list() -> None:
    twins = learn_twins(["https://h.earthdata.nasa.gov/z/k/a.nc"], ["s3://prod-lads/k/a.nc"])
    own = Address.of("s3://prod-lads/k/b.nc")
    found = Buckets().recording((), twins=twins).twin_of(own)
    assert found is not None
    assert str(found.of(own)) == "https://h.earthdata.nasa.gov/z/k/b.nc"


def test_endpoint_outside_earthdata_implies_no_https_form() -> None:
    told = Buckets().recording(("s3://b-1/",), None, "https://evil.com/s3credentials")
    assert told.twin_of(Address.of("s3://b-1/k")) is None


def test_every_archive_on_the_shipped_list_is_earthdatas_and_trusted_in_both_forms() -> None:
    trust = Trust.of_settings([])
    for bucket, host in shipped().archives.items():
        assert is_earthdata(host)
        trust.check(f"s3://{bucket}/k")
        trust.check(f"https://{host}/k")
    assert set(shipped().folders) <= set(shipped().archives)


@pytest.mark.parametrize(
    ("prefix", "unsure"),
    [
        ("s3://gesdisc-cumulus-prod-protected/MERRA2/", False),  # the shipped list has it
        ("s3://podaac-ops-cumulus-public/", False),  # anyone may read it
        ("s3://unheard-of-protected/SST/", True),
        ("s3://learnt-protected/SST/", False),
        ("nonsense", False),
    ],
)
def test_https_form_of_a_bucket_is_asked_for_only_where_nothing_tells_it(
    prefix: str, unsure: bool
) -> None:
    twins = learn_twins(["https://h.earthdata.nasa.gov/x/SST/a.nc"],
                        ["s3://learnt-protected/SST/a.nc"])  # fmt: skip
    endpoint = "https://h.earthdata.nasa.gov/s3credentials"
    told = Buckets().recording(["s3://unheard-of-protected/"], None, endpoint, twins)
    assert told.is_guess(prefix) is unsure
