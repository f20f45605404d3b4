"""Sources that changed are found out, on real servers."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from servers import file_server
from world import kerchunk_references, write_days, write_references

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.http import Received
from harmony_vds.errors import StaleSourceError
from harmony_vds.model.request import Request, Source
from harmony_vds.pipeline import Services, fulfil, prepare
from harmony_vds.settings import Settings
from harmony_vds.stores.freshness import SourceWatch

WRITTEN = datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_source_older_than_the_manifest_passes() -> None:
    watch = SourceWatch(WRITTEN)
    watch.check("https://a/x.nc", Received(b"", WRITTEN - timedelta(days=1), '"1"'))
    watch.check("https://a/x.nc", Received(b"", WRITTEN + timedelta(seconds=1), '"1"'))


def test_source_newer_than_the_manifest_is_refused_or_told() -> None:
    newer = Received(b"", WRITTEN + timedelta(minutes=1))
    with pytest.raises(StaleSourceError, match=r"https://a/x\.nc changed at 2024-05-01T12:01:00Z"):
        SourceWatch(WRITTEN).check("https://a/x.nc?signature=1", newer)
    SourceWatch(WRITTEN, refuses=False).check("https://a/x.nc", newer)
    SourceWatch(None).check("https://a/x.nc", newer)


def test_source_whose_tag_changes_within_a_request_is_refused() -> None:
    watch = SourceWatch(None)
    watch.check("https://a/x.nc", Received(b"", etag='"1"'))
    watch.check("https://a/y.nc", Received(b"", etag='"2"'))
    with pytest.raises(StaleSourceError, match="changed while"):
        watch.check("https://a/x.nc", Received(b"", etag='"2"'))


@pytest.mark.parametrize("policy", ["warn", "refuse"])
def test_newer_source_of_a_reference_file_follows_the_setting(
    policy: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    days = write_days(tmp_path, 1)
    with file_server(tmp_path) as server:
        document = kerchunk_references(days, lambda url: f"{server.url}/{Path(url).name}", inline=0)
        write_references(tmp_path / "refs.json", document)
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).timestamp()
        os.utime(days[0], (tomorrow, tomorrow))
        settings = Settings(trusted_prefixes=(f"{server.url}/",), stale_references=policy)
        request = Request((Source("", "x", variables=("analysed_sst",)),))
        with Services.of(settings, Credentials.of_token(None)) as services:
            if policy == "refuse":
                with pytest.raises(StaleSourceError):  # the coordinates come from the same file
                    prepare(request, services, f"{server.url}/refs.json")
                return
            prepared = prepare(request, services, f"{server.url}/refs.json")
            output = fulfil(prepared, tmp_path / "out", services)[0]
    told = [record for record in caplog.records if "changed at" in record.message]
    assert len(told) == 1
    with netCDF4.Dataset(output.path) as got, netCDF4.Dataset(days[0]) as source:
        np.testing.assert_array_equal(got["analysed_sst"][:], source["analysed_sst"][:])
