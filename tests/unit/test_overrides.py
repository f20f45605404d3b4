"""The operator's table of collections."""

from pathlib import Path

import pytest

from harmony_vds.discovery.overrides import Overrides
from harmony_vds.errors import SettingsError
from harmony_vds.model.request import Source


def table(folder: Path, text: str) -> Overrides:
    path = folder / "collections.toml"
    path.write_text(text)
    return Overrides.of_file(str(path))


def test_stores_with_names_kind_version_group_and_credentials(tmp_path: Path) -> None:
    own = table(tmp_path, """
        [RASI]
        region = "us-east-1"
        credentials_endpoint = "https://data.example.nasa.gov/s3credentials"
        [[RASI.stores]]
        url = "s3://b/RASI/HISTORICAL"
        name = "HISTORICAL"
        kind = "icechunk"
        [[RASI.stores]]
        url = "icechunk+s3://b/RASI/SSP245@dev"
        name = "SSP245"
        group = "/monthly/"
        version = "tag.v1"
        region = "us-west-2"
        credentials_endpoint = "https://o.nasa.gov/c"
    """).of(Source("C1-T", "RASI"))  # fmt: skip
    assert own is not None
    first, second = own.candidates
    assert (first.href, first.label, first.url.kind, first.region) == (
        "s3://b/RASI/HISTORICAL", "HISTORICAL", "icechunk", "us-east-1",
    )  # fmt: skip
    assert first.credentials_endpoint == "https://data.example.nasa.gov/s3credentials"
    assert (second.href, second.url.version, second.url.group) == (
        "s3://b/RASI/SSP245", "tag.v1", "monthly",
    )  # fmt: skip
    assert (second.region, second.credentials_endpoint) == ("us-west-2", "https://o.nasa.gov/c")
    assert "[RASI]" in first.found_in


def test_concept_id_goes_before_short_name(tmp_path: Path) -> None:
    own = table(tmp_path, '["C1-T"]\ndeny = "by id"\n[DEMO]\ndeny = "by name"\n')
    assert own.of(Source("C1-T", "DEMO")).deny == "by id"  # type: ignore[union-attr]
    assert own.of(Source("C2-T", "DEMO")).deny == "by name"  # type: ignore[union-attr]
    assert own.of(Source("C2-T", "OTHER")) is None
    assert Overrides.of_file("").of(Source("C1-T", "DEMO")) is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[A]\nstores = []\n", "either stores or deny"),
        ('[A]\ndeny = "x"\nstores = [{ url = "s3://b/a" }]\n', "either stores or deny"),
        ('[A]\nstores = [{ url = "s3://b/a", knd = "x" }]\n', "knd"),
        ('[A]\nstores = [{ name = "x" }]\n', "url"),
        ('[A]\nstores = [{ url = "s3://b/a|n5:" }]\n', "n5"),
        ('[A]\nstores = [{ url = "s3://b/a", kind = "hdf5" }]\n', "hdf5"),
        ("[A\n", "line 1"),
    ],
)
def test_unusable_table_is_the_operators_to_mend(text: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="HARMONY_VDS_COLLECTIONS_FILE") as caught:
        table(tmp_path, text)
    assert named in str(caught.value)


def test_missing_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="HARMONY_VDS_COLLECTIONS_FILE"):
        Overrides.of_file(str(tmp_path / "none.toml"))
