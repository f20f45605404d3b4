"""A small Harmony on loopback, for the tutorial and its tests: `bin/demo-server` runs this.

It turns requests into operations (`orders`), answers each with a process of the service as
Harmony's runner does, and tells of jobs and their results as harmony-py expects it.
"""

import argparse
import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from invocation import CANARY, Outcome, encrypted, invoke, shape_file
from orders import BadOrderError, Collection, Order, order
from servers import Server, bucket_of, cmr_server, s3_client, s3_server, serve
from world import SHORT_NAME, umm_collection

COLLECTION = "C1234567890-DEMO"
UPLOADS = "harmony-uploads"


@dataclass
class Job:
    """One request and what became of it."""

    ident: str
    request: str
    made: Order
    folder: Path
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    outcome: Outcome | None = None

    @property
    def is_done(self) -> bool:
        return self.outcome is not None

    def told(self, root: str) -> dict[str, Any]:
        """The job as Harmony tells it."""
        error = self.outcome.error if self.outcome else {}
        warned = error.get("category") == "NoData"
        failed = self.is_done and self.outcome.status != 0 and not warned
        status = "failed" if failed else "successful" if self.is_done else "running"
        message = "The job is being processed"
        if self.is_done:
            message = "The job has completed successfully"
        if error:
            verb = "warned" if warned else "failed"
            message = f"WorkItem {verb}: harmony-vds:local: {error['error']}"
        created = self.created.isoformat()
        found: dict[str, Any] = {
            "jobID": self.ident, "username": "anonymous", "status": status, "message": message,
            "progress": 100 if self.is_done else 0, "createdAt": created, "updatedAt": created,
            "dataExpiration": (self.created + timedelta(days=30)).isoformat(),
            "request": f"{root}{self.request}", "numInputGranules": 0, "labels": self.made.labels,
            "links": self._links(root) if status == "successful" and not warned else [],
        }  # fmt: skip
        if failed:
            found["errors"] = [{"url": "unknown", "message": message}]
        return found

    def _links(self, root: str) -> list[dict[str, Any]]:
        assert self.outcome is not None
        links = []
        for item in self.outcome.items:
            asset, properties = item["assets"]["data"], item["properties"]
            path = Path(asset["href"]).relative_to(self.folder / "data").as_posix()
            links.append({
                "href": f"{root}/service-results/{self.ident}/{path}", "title": path,
                "type": asset["type"], "rel": "data", "bbox": item["bbox"],
                "temporal": {side: properties.get(f"{side}_datetime") for side in ("start", "end")},
            })  # fmt: skip
        return links


@dataclass
class Harmony:
    """Requests in, jobs out, one work item after another."""

    folder: Path
    """Where jobs have their folders."""
    known: Mapping[str, Collection]
    environment: Mapping[str, str]
    """What the service's processes are started with."""
    jobs: dict[str, Job] = field(default_factory=dict)
    workers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """What runs as long as this does."""
    root: str = ""
    s3: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path == "/jobs":
            told = [own.told(self.root) for own in self.jobs.values()]
            return web.json_response({"count": len(told), "jobs": told})
        if path == "/jobs/status":
            asked = (await request.json())["jobIDs"]
            told = [self.jobs[own].told(self.root) for own in asked if own in self.jobs]
            return web.json_response(
                {"jobStatuses": told, "notFoundJobIDs": [o for o in asked if o not in self.jobs]}
            )
        if path.startswith("/jobs/"):
            job = self.jobs.get(path.removeprefix("/jobs/"))
            return _refused(404, "Unable to find job") if job is None else self._shown(job)
        if path.startswith("/service-results/"):
            return self._result(path.removeprefix("/service-results/"))
        return await self._ordered(request)

    def _shown(self, job: Job) -> web.Response:
        return web.json_response(job.told(self.root))

    def _result(self, path: str) -> web.StreamResponse:
        ident, _, name = path.partition("/")
        file = (self.folder / ident / "data" / name).resolve()
        if not (file.is_relative_to(self.folder) and file.is_file()):
            return _refused(404, "not here")
        return web.FileResponse(file)

    async def _ordered(self, request: web.Request) -> web.StreamResponse:
        parameters, upload = list(request.query.items()), None
        if request.content_type == "application/json":
            given = await request.json()
            parameters += [
                (name, str(one))
                for name, own in given.items()
                for one in (own if isinstance(own, list) else [own])
            ]
        elif request.method == "POST":
            for name, own in (await request.post()).items():
                if isinstance(own, web.FileField):
                    upload = own.file.read().decode()
                else:
                    parameters.append((name, str(own)))
        try:
            made = order(request.path, parameters, self.known, upload)
        except BadOrderError as error:
            return _refused(400, str(error))
        except LookupError:
            return _refused(404, "The requested page was not found")
        job, done = self._begun(made, request.path_qs)
        if not made.operation["isSynchronous"]:
            return self._shown(job)
        await _finished(done)
        links = job.told(self.root)["links"]
        if len(links) != 1:
            return _refused(500, job.told(self.root)["message"])
        raise web.HTTPFound(links[0]["href"])

    def _begun(self, made: Order, request: str) -> tuple[Job, "Future[None]"]:
        ident = str(uuid.uuid4())
        job = Job(ident, request, made, self.folder / ident)
        self.jobs[ident] = job
        return job, self.workers.submit(self._work, job)

    def _work(self, job: Job) -> None:
        """One work item, as Harmony's runner has it done."""
        job.folder.mkdir(parents=True)
        made, waiting = job.made, contextlib.nullcontext()
        message = {**made.operation, "requestId": job.ident, "user": "anonymous",
                   "client": "harmony-local", "accessToken": encrypted(CANARY),
                   "stagingLocation": ""}  # fmt: skip
        if made.shape is not None:
            href = "file:///tmp/shapefile.json"
            if made.uploaded:
                href = self._uploaded(made.shape, job.ident)
            else:
                waiting = shape_file(made.shape)
            message["subset"]["shape"] = {"type": "application/geo+json", "href": href}
        environment = {**self.environment, "UPLOAD_BUCKET": UPLOADS}
        if self.s3:
            environment |= {"AWS_ENDPOINT_URL_S3": self.s3, "AWS_ACCESS_KEY_ID": "x",
                            "AWS_SECRET_ACCESS_KEY": "x"}  # fmt: skip
        with waiting:
            job.outcome = invoke(message, job.folder, environment=environment, anew=True)

    def _uploaded(self, shape: str, ident: str) -> str:
        if not self.s3:
            self.s3 = self.held.enter_context(s3_server())
            bucket_of(self.s3, UPLOADS)
        key = f"temp-user-uploads/{ident}-normalized.geojson"
        s3_client(self.s3).put_object(Bucket=UPLOADS, Key=key, Body=shape.encode())
        return f"s3://{UPLOADS}/{key}"


def _refused(status: int, text: str) -> web.Response:
    code = "harmony.RequestValidationError" if status == 400 else "harmony.Error"
    return web.json_response({"code": code, "description": f"Error: {text}"}, status=status)


async def _finished(done: "Future[None]") -> None:
    import asyncio

    await asyncio.wrap_future(done)


def demo_collection() -> Collection:
    """What CMR would tell of the demonstration's store."""
    variables = {
        name: {"id": f"V{number}-DEMO", "name": name, "fullPath": name,
               "type": "SCIENCE_VARIABLE", "visualizations": []}
        for number, name in enumerate(("analysed_sst", "mask"), 1)
    }  # fmt: skip
    return Collection(COLLECTION, SHORT_NAME, "1.0", variables)


@contextlib.contextmanager
def harmony_server(
    store: str, folder: Path, trusted: str, port: int = 0
) -> Iterator[tuple[Server, Harmony]]:
    """Harmony with one collection, whose record names `store`."""
    record = umm_collection(COLLECTION, [store])
    with cmr_server({COLLECTION: record}) as cmr, contextlib.ExitStack() as held:
        environment = {"CMR_ENDPOINT": cmr.url, "HARMONY_VDS_TRUSTED_PREFIXES": trusted}
        harmony = Harmony(folder.resolve(), {COLLECTION: demo_collection()}, environment, held=held)
        held.callback(harmony.workers.shutdown, cancel_futures=True)
        with serve(harmony.answer, port=port) as server:
            harmony.root = server.url
            yield server, harmony


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/demo-server", description=__doc__)
    parser.add_argument("action", choices=("start", "stop", "run"))
    parser.add_argument("--folder", type=Path, default=Path("demo-output"))
    port = int(os.environ.get("LOCALHOST_PORT", "3000"))  # where harmony-py looks for it, too
    parser.add_argument("--port", type=int, default=port)
    options = parser.parse_args()
    folder = options.folder.resolve()
    note = folder / "server.pid"
    if options.action == "stop":
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.kill(int(note.read_text()), signal.SIGTERM)
        note.unlink(missing_ok=True)
        return 0
    store = folder / "sst.icechunk"
    if not store.is_dir():
        print(f"There is no {store}; run bin/demo first.", file=sys.stderr)
        return 1
    if options.action == "start":
        return _start(folder, options.port, note)
    ends = [signal.SIGTERM, signal.SIGINT]
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before there are threads, which take it over
    with harmony_server(store.as_uri(), folder / "jobs", f"{folder.as_uri()}/", options.port):
        signal.sigwait(ends)
    return 0


def _start(folder: Path, port: int, note: Path) -> int:
    """Run the server in a process of its own, and wait until it answers."""
    command = [sys.executable, __file__, "run", "--folder", folder, "--port", str(port)]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    note.write_text(str(process.pid))
    while process.poll() is None:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/jobs")
            if connection.getresponse().status == 200:
                print(f"Harmony answers at http://localhost:{port} for collection {COLLECTION}.")
                return 0
        time.sleep(0.2)
    print((folder / "server.log").read_text(), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
