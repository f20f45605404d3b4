"""What a work item leaves beside its output: figures in the log, and nothing on the disk."""

import json
from pathlib import Path

from invocation import CANARY, invoke, make_message
from servers import cmr_server
from world import umm_collection

STAGES = {"find", "open", "plan", "compare", "write"}


def test_only_the_temporary_folder_is_written_to_and_the_log_tells_times_and_bytes(
    store: Path, days: list[Path], tmp_path: Path
) -> None:
    places = {name: tmp_path / name for name in ("home", "here", "temporary", "job")}
    for own in places.values():
        own.mkdir()
    places["home"].chmod(0o500)
    places["here"].chmod(0o500)
    message = make_message("C1-DEMO", variables=["analysed_sst"])
    with cmr_server({"C1-DEMO": umm_collection("C1-DEMO", [store.as_uri()])}) as cmr:
        environment = {
            "CMR_ENDPOINT": cmr.url,
            "HARMONY_VDS_TRUSTED_PREFIXES": f"{store.as_uri()}/,{days[0].parent.as_uri()}/",
            "HOME": str(places["home"]),
            "TMPDIR": str(places["temporary"]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        outcome = invoke(message, places["job"], cwd=places["here"], environment=environment,
                         anew=True)  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    # Emptied where it was written to, and never written to elsewhere.
    assert [list(places[own].iterdir()) for own in ("home", "here", "temporary")] == [[], [], []]
    assert CANARY not in outcome.stderr
    lines = [json.loads(line) for line in outcome.stderr.splitlines()]
    assert {(own["requestId"], own["user"]) for own in lines} == {
        (message["requestId"], message["user"])
    }
    durations = {own["stage"]: own["durationMs"] for own in lines if "stage" in own}
    assert set(durations) >= STAGES
    assert all(isinstance(own, int) and own >= 0 for own in durations.values())
    (read,) = (own for own in lines if "bytesRead" in own)
    assert read["bytesRead"] > 1000
    assert read["requests"] > 3
    assert read["requestsRepeated"] == 0
