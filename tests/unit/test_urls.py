"""Every spelling of a store's address that is in use, taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_vds.discovery.urls import StoreUrl
from harmony_vds.errors import NoStoreError

SNAPSHOT = "YTNGFY4WY9189GEH1FNG"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://h.example.com/a.icechunk", ("https://h.example.com/a.icechunk", "", None, "")),
        (" https://h.example.com/a.icechunk/ \n",
         ("https://h.example.com/a.icechunk", "", None, "")),
        ("s3://b/p/refs.json", ("s3://b/p/refs.json", "", None, "")),
        # as git writes remotes
        ("icechunk+https://h.example.com/a", ("https://h.example.com/a", "icechunk", None, "")),
        ("icechunk+s3://b/store@main", ("s3://b/store", "icechunk", "branch.main", "")),
        ("icechunk+s3://b/store@tag.v1", ("s3://b/store", "icechunk", "tag.v1", "")),
        (f"icechunk+s3://b/store@{SNAPSHOT}/", ("s3://b/store", "icechunk", SNAPSHOT, "")),
        ("ICECHUNK+HTTPS://h.example.com/Store@Dev",
         ("HTTPS://h.example.com/Store", "icechunk", "branch.Dev", "")),
        ("zarr3+https://h.example.com/a@b", ("https://h.example.com/a@b", "zarr", None, "")),
        # URL pipelines
        ("s3://b/p/|icechunk:", ("s3://b/p", "icechunk", None, "")),
        ("s3://b/p|icechunk", ("s3://b/p", "icechunk", None, "")),
        ("s3://b/p|icechunk://branch.main/group/path",
         ("s3://b/p", "icechunk", "branch.main", "group/path")),
        ("s3://b/p|icechunk://tag.v1.0/", ("s3://b/p", "icechunk", "tag.v1.0", "")),
        (f"s3://b/p|icechunk://{SNAPSHOT}/g", ("s3://b/p", "icechunk", SNAPSHOT, "g")),
        ("s3://b/p|icechunk:@branch.main/g", ("s3://b/p", "icechunk", "branch.main", "g")),
        ("s3://b/p|Icechunk:@tag.v1.0/", ("s3://b/p", "icechunk", "tag.v1.0", "")),
        ("s3://b/p|icechunk://branch.main/a|zarr3:b/c",
         ("s3://b/p", "icechunk", "branch.main", "a/b/c")),
        ("https://h.example.com/a|zarr2:", ("https://h.example.com/a", "zarr", None, "")),
        ("https://h.example.com/a|zarr3:node/path",
         ("https://h.example.com/a", "zarr", None, "node/path")),
        ("https://h.example.com/a.zip|zip:inner/path",
         ("https://h.example.com/a.zip", "zip", None, "inner/path")),
        # buckets spelled as hosts
        ("s3://prod-giovanni-cache.s3.us-west-2.amazonaws.com/zarr/GPM",
         ("s3://prod-giovanni-cache/zarr/GPM", "", None, "")),
        ("s3://bucket.s3.amazonaws.com/k", ("s3://bucket/k", "", None, "")),
        ("s3://s3.us-east-1.amazonaws.com/bucket/k", ("s3://bucket/k", "", None, "")),
        ("icechunk+s3://its.live.s3.us-west-2.amazonaws.com/k",
         ("s3://its.live/k", "icechunk", None, "")),
    ],
)  # fmt: skip
def test_address_is_taken_apart(text: str, expected: tuple[str, str, str | None, str]) -> None:
    found = StoreUrl.of(text)
    assert (found.href, found.kind, found.version, found.group) == expected


def test_host_of_a_bucket_names_its_region() -> None:
    assert StoreUrl.of("s3://b.s3.us-east-1.amazonaws.com/k").region == "us-east-1"
    assert StoreUrl.of("s3://b/k").region is None
    assert StoreUrl.of("https://b.s3.us-east-1.amazonaws.com/k").href.startswith("https://b.s3.")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("s3://b/p|n5:a", "n5"),
        ("s3://b/p|icechunk://main/g", "'main'"),
        ("s3://b/p|kerchunk:something", "kerchunk"),
        ("s3://b/p|", "'|'"),
    ],
)
def test_address_that_is_not_understood_says_which_part(text: str, named: str) -> None:
    with pytest.raises(NoStoreError) as caught:
        StoreUrl.of(text)
    assert named in str(caught.value)


def test_user_name_in_an_address_is_no_version() -> None:
    assert StoreUrl.of("icechunk+https://user@h.example.com").href == "https://user@h.example.com"
    assert StoreUrl.of("icechunk+https://user@h.example.com/a").version is None


parts = st.text("abcXYZ019._-", min_size=1, max_size=12).filter(lambda t: t.strip(".") == t)


@given(st.sampled_from(["s3", "https"]), st.lists(parts, min_size=2, max_size=4), parts, parts)
def test_forms_of_one_version_and_group_mean_the_same(
    scheme: str, path: list[str], branch: str, group: str
) -> None:
    plain = f"{scheme}://{'/'.join(path)}"
    new = StoreUrl.of(f"{plain}/|icechunk://branch.{branch}/{group}/")
    old = StoreUrl.of(f"{plain}|icechunk:@branch.{branch}/|zarr3:{group}")
    assert new == old
    assert new.href == StoreUrl.of(plain).href
    assert new.group == group
