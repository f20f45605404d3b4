"""A collection's real record, with a store injected, from CMR's answer to the output."""

import copy
import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from conftest import SHARED
from invocation import invoke, make_message
from servers import cmr_server

RECORDS = sorted((SHARED / "umm").glob("collection_MUR*.json")) + sorted(
    (SHARED / "umm").glob("collection_GAMSSA*.json")
)


@pytest.mark.shared
@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name.split("_")[1])
def test_real_record_with_an_injected_store_is_answered(
    path: Path, store: Path, days: list[Path], tmp_path: Path
) -> None:
    record = copy.deepcopy(json.loads(path.read_text()))
    # Synthetic: the record as it is, and one entry in the form that such records carry.
    record["umm"]["RelatedUrls"].append(
        {
            "Description": "Virtual data set reference",
            "URLContentType": "DistributionURL",
            "Type": "GET DATA",
            "Subtype": "VIRTUAL COLLECTION",
            "URL": f" {store.as_uri()} ",
        }
    )
    concept_id = record["meta"]["concept-id"]
    message = make_message(
        concept_id, short_name=record["umm"]["ShortName"], version=record["umm"]["Version"],
        variables=["analysed_sst"], bbox=[-30, -30, 30, 30],
    )  # fmt: skip
    with cmr_server({concept_id: record}) as cmr:
        trusted = f"{store.as_uri()},{days[0].parent.as_uri()}/"
        outcome = invoke(
            message, tmp_path,
            environment={"CMR_ENDPOINT": cmr.url, "HARMONY_VDS_TRUSTED_PREFIXES": trusted},
        )  # fmt: skip
    assert outcome.status == 0, outcome.error
    assert outcome.items[0]["properties"]["start_datetime"] == "2024-01-02T12:00:00Z"
    with netCDF4.Dataset(outcome.data[0]) as got:
        got.set_auto_maskandscale(False)
        for step, day in enumerate(days):
            with netCDF4.Dataset(day) as source:
                source.set_auto_maskandscale(False)
                inside = [np.abs(source[name][:]) <= 30 for name in ("lat", "lon")]
                expected = source["analysed_sst"][0][np.ix_(*inside)]
            np.testing.assert_array_equal(got["analysed_sst"][step], expected)
