"""The services.yml entry, against the keys that Harmony knows and what this service can do."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY
from harmony_service_lib.message import Message

from harmony_vds.errors import UnsupportedError
from harmony_vds.handoff import ROLE, only_plans
from harmony_vds.message import request_from_message
from harmony_vds.model.formats import FORMATS, NETCDF, format_of
from harmony_vds.model.request import Request, Source, TargetGrid
from harmony_vds.planning.guard import refuse_unsupported

ENTRY_KEYS = {
    "name", "description", "data_operation_version", "type", "umm_s", "collections", "enabled",
    "granule_limit", "has_granule_limit", "default_sync", "maximum_sync_granules",
    "validate_variables", "external_validation_url", "capabilities", "steps", "message",
}  # fmt: skip
CAPABILITY_KEYS = {
    "concatenation", "concatenate_by_default", "subsetting", "averaging", "output_formats",
    "reprojection", "extend", "default_extend_dimensions", "all_collections",
}  # fmt: skip
SUBSETTING_KEYS = {"dimension", "bbox", "shape", "temporal", "variable", "multiple_variable"}
STEP_KEYS = {
    "image", "operations", "is_sequential", "conditional", "is_batched", "max_batch_inputs",
    "max_batch_size_in_bytes", "always_wait_for_prior_step", "extra_args",
}  # fmt: skip


class HarmonyLoader(yaml.SafeLoader):
    """YAML with Harmony's !Env tag."""


HarmonyLoader.add_constructor("!Env", lambda loader, node: loader.construct_scalar(node))


def entries() -> list[dict[str, Any]]:
    document = yaml.load((REPOSITORY / "service.yml").read_text(), HarmonyLoader)
    return document["https://cmr.earthdata.nasa.gov"]


def test_entry_uses_only_keys_that_harmony_knows() -> None:
    for entry in entries():
        assert set(entry) <= ENTRY_KEYS
        assert set(entry["capabilities"]) <= CAPABILITY_KEYS
        assert set(entry["capabilities"]["subsetting"]) <= SUBSETTING_KEYS
        assert all(set(step) <= STEP_KEYS for step in entry["steps"])
        assert entry["data_operation_version"] == "0.22.0"
        assert isinstance(entry["umm_s"], str)


def test_first_chain_has_one_step_of_one_image_and_no_granule_query() -> None:
    chain = entries()[0]
    assert [step["image"] for step in chain["steps"]] == ["${HARMONY_VDS_IMAGE}"]
    assert chain["has_granule_limit"] is False
    assert chain["maximum_sync_granules"] == -1
    assert "/" not in chain["name"]  # Harmony makes an environment variable of it


def test_capabilities_claim_what_the_service_does_and_nothing_else() -> None:
    claimed = entries()[0]["capabilities"]
    source = (Source("C1-TEST", "TEST"),)
    asked = {
        "extend": Request(source, extend=("time",)),
    }
    assert claimed["subsetting"]["dimension"]
    assert claimed["averaging"] == {"area": True, "time": True}
    for kind in claimed["averaging"]:
        refuse_unsupported(Request(source, average=kind))
    assert claimed["reprojection"]
    refuse_unsupported(Request(source, target=TargetGrid(crs="EPSG:3857")))
    assert claimed["subsetting"]["shape"]
    refuse_unsupported(Request(source, shape="s3://bucket/shape.json"))
    for name, request in asked.items():
        assert not claimed.get(name, claimed["subsetting"].get(name, False))
        with pytest.raises(UnsupportedError):
            refuse_unsupported(request)
    for media_type in claimed["output_formats"]:  # as the front door spells them
        message = {"sources": [{"collection": "C1-TEST"}], "format": {"mime": media_type}}
        refuse_unsupported(request_from_message(Message(message)))
    refuse_unsupported(Request(source, concatenate=True, media_type=NETCDF))


def test_forms_that_harmony_knows_are_offered_and_no_others() -> None:
    known = {own.media_type: own for own in FORMATS if own.harmony_name}
    offered = entries()[0]["capabilities"]["output_formats"]
    assert offered[0] == NETCDF  # what comes out where nobody says
    assert {format_of(own).media_type for own in offered} == set(known)
    assert set(known) <= set(offered)
    # Its own list of names (file-formats.ts), of which it makes media types before it asks.
    names = {"NETCDF-4", "ZARR", "GEOTIFF", "PNG", "CSV"}
    assert {own.harmony_name for own in known.values()} == names
    assert all(format_of(own.harmony_name) == own for own in known.values())


def test_dockerfile_keeps_the_shell_that_harmony_replaces_the_entrypoint_with() -> None:
    dockerfile = Path(REPOSITORY / "docker" / "service.Dockerfile").read_text()
    assert "ARG BASE_IMAGE" in dockerfile
    assert "uv sync --frozen" in dockerfile
    steps = [line.split()[0] for line in dockerfile.splitlines() if line[:1].isupper()]
    users = [line for line in dockerfile.splitlines() if line.startswith("USER")]
    assert users == ["USER 10001:10001"]  # and never root again
    assert not {"RUN", "COPY", "ADD"} & set(steps[steps.index("USER") :])
    assert "HOME=/tmp" in dockerfile
    assert "PYTHONDONTWRITEBYTECODE=1" in dockerfile
    assert "ADD" not in steps


def test_second_chain_hands_all_selected_granules_to_one_work_item() -> None:
    first, second, _ = entries()
    query, ours = second["steps"]
    assert query["image"] == "${QUERY_CMR_IMAGE}"
    assert query["is_sequential"] is True
    assert ours["image"] == first["steps"][0]["image"]
    assert ours["is_batched"]
    assert ours["always_wait_for_prior_step"]
    assert "operations" not in ours  # a list would strip the message
    assert second["capabilities"] == first["capabilities"]
    assert second["capabilities"]["concatenate_by_default"] is True
    assert second["umm_s"] != first["umm_s"]


def test_third_chain_plans_under_one_image_name_and_writes_parts_under_another() -> None:
    first, _, third = entries()
    plan, write = third["steps"]
    assert plan["image"] == "${HARMONY_VDS_PLANNER_IMAGE}"
    assert write["image"] == first["steps"][0]["image"] == "${HARMONY_VDS_IMAGE}"
    assert plan["extra_args"] == {ROLE: "plan"}
    assert only_plans(Message({"extraArgs": plan["extra_args"]}))
    assert set(write) == {"image"}  # each catalogue of the first step makes a work item
    assert third["capabilities"] == first["capabilities"]
    assert third["maximum_sync_granules"] == -1
    assert third["has_granule_limit"] is False
    assert len({own["umm_s"] for own in entries()}) == 3
    assert len({own["name"] for own in entries()}) == 3
    # One Dockerfile: the two names are tags of one image.
    script = (REPOSITORY / "bin" / "build-image").read_text()
    assert script.count("docker/service.Dockerfile --build-arg") == 1
    assert '-t "harmony-vds-planner:$version"' in script
