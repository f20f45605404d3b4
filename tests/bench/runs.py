"""Runs the measurements: each in a fresh process, methods in turn, several times over."""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bench import means, points
from bench.archive import PRODUCTS, Archive
from bench.methods import METHODS, OPENED, READ, WRITTEN
from bench.server import ask
from bench.work import Expected, expected, items, true_sample, write_items

LATENCY = 0.04
PAIRS = 7
"""Times that the whole record and a tenth of it are read in turn: single runs differ by more than
the tenth that is to be seen."""
LONGEST = 1_800
"""Seconds after which a measurement is given up."""
SERIES = (means, points)
"""What goes through the whole service, from the request to the written file."""
PEERS = ("harmony-service-lib", "xarray", "zarr", "icechunk", "dask", "fsspec", "kerchunk",
         "virtualizarr", "obstore", "numpy", "netCDF4", "h5py", "deflate")  # fmt: skip
OPENED_AGAIN = "ours, kerchunk", "ours, icechunk", "ours, parquet", "icechunk"
STARTED_WITH = "import harmony_service_lib, xarray, zarr, icechunk, dask"

type Key = tuple[str, str, str, str]
"""Part, product, item, method."""


@dataclass
class Results:
    """All single measurements, and what they are compared with."""

    records: list[dict[str, Any]] = field(default_factory=list)
    limits: dict[str, Any] = field(default_factory=dict)
    wanted: dict[tuple[str, str, str], Expected] = field(default_factory=dict)
    """What each read must give and fetch at least, by product, item and method."""

    def medians(self) -> dict[Key, dict[str, float]]:
        """The median of each number over the repeats of a measurement."""
        grouped: dict[Key, list[dict[str, Any]]] = {}
        for record in self.records:
            if "failed" not in record:
                key = record["part"], record["product"], record["item"], record["method"]
                grouped.setdefault(key, []).append(record["numbers"])
        return {
            key: {name: statistics.median(own[name] for own in found) for name in found[0]}
            for key, found in grouped.items()
        }


@dataclass(frozen=True)
class Bench:
    """Where the stand-ins are, how often is measured, and who is told of progress."""

    folder: Path
    port: int
    repeats: int
    scale: str
    tell: Callable[[str], None]
    results: Results = field(default_factory=Results)

    def archive(self, product: str) -> Archive:
        return Archive(self.folder, PRODUCTS[product], self.port)

    def make(self, products: Iterable[str]) -> None:
        for product in products:
            start = time.perf_counter()
            self.archive(product).make()
            if time.perf_counter() - start > 5:
                self.tell(f"wrote the stand-in {product} in {time.perf_counter() - start:.0f} s")

    @property
    def main_product(self) -> str:
        return "small" if self.scale == "small" else "ostia"

    def measure_limits(self) -> None:
        ask(self.port, latency=0)
        command = [sys.executable, "-m", "bench.limits", str(self.folder), self.main_product,
                   str(self.port)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        self.results.limits = json.loads(done.stdout)

    def run_open(self) -> None:
        ask(self.port, latency=LATENCY)
        large = ("smap", "opera") if self.scale == "all" else ()
        self.make([self.main_product, f"{self.main_product}-tenth", "tiny", *large])
        for repeat in range(self.repeats):
            for method in _turned(OPENED, repeat):
                self._open(self.main_product, method)
            for product in (self.main_product, f"{self.main_product}-tenth"):
                for method in _turned(OPENED_AGAIN, repeat):
                    self._open_again(product, method)
            for form in ("kerchunk", "icechunk"):
                self._start(form)
        for product in large:
            for method in ("ours, kerchunk", "engine=kerchunk", "virtualizarr"):
                self._open(product, method)
            packed = "parquet" if "parquet" in PRODUCTS[product].forms else "gzip"
            self._open(product, f"ours, {packed}")
            for method in ("ours, kerchunk", f"ours, {packed}"):
                self._open_again(product, method)
        if large:
            self._open("smap", "engine=kerchunk, parquet")

    def run_read(self) -> None:
        ask(self.port, latency=LATENCY)
        self.make([self.main_product, f"{self.main_product}-tenth"])
        for repeat in range(self.repeats):
            for item in items(PRODUCTS[self.main_product]):
                for method in _turned(READ, repeat):
                    if item == "e" and "dask" in method:
                        continue  # two requests in flight: minutes that tell nothing new
                    self._read(self.main_product, item, method)

    def run_all_series(self) -> None:
        """Series through the whole service, each beside its peer."""
        ask(self.port, latency=LATENCY)
        self.make([self.main_product])
        for _ in range(self.repeats):
            for series in SERIES:
                for method, steps in ((series.SERVICE, None), (series.PEER, series.PEER_STEPS)):
                    self.run_series(series, method, steps)

    def run_flat(self) -> None:
        """One selection from the whole record and from a tenth of it, one right after the other."""
        ask(self.port, latency=LATENCY)
        products = [self.main_product, f"{self.main_product}-tenth"]
        self.make(products)
        for _ in range(max(self.repeats, PAIRS)):
            for method in ("ours, kerchunk", "ours, icechunk"):
                for product in products:
                    self._read(product, "d", method, part="flat")
            products.reverse()

    def run_series(self, series: ModuleType, method: str, steps: int | None) -> None:
        """A series through the whole service or by a peer, or its first `steps`."""
        product = self.main_product
        archive = self.archive(product)
        wanted = series.item(archive.product)
        wanted = wanted.first(steps) if steps else wanted
        job = {"method": method, "product": product, "steps": steps}
        told = self._told(job, str(self.folder / "cache"), series.__name__)
        right = series.expected(archive, wanted)
        if "failed" not in told and not np.allclose(
            told["series"], right, rtol=0, atol=series.TOLERANCE, equal_nan=True
        ):
            told = {"failed": "its series is not that of the granules"}
        share = len(wanted.steps) / len(series.item(archive.product).steps)
        self._keep(
            "mean", product, series.NAME, method, told, lambda own: own["mean"] | {"share": share}
        )

    def run_write(self, parts: tuple[str, ...]) -> None:
        """One run gives both: writing from an open store, and all from opening it."""
        ask(self.port, latency=LATENCY)
        self.make([self.main_product])
        for repeat in range(self.repeats):
            for item in write_items(PRODUCTS[self.main_product]):
                for method in _turned(WRITTEN, repeat):
                    self._write(self.main_product, item, method, parts)

    def _write(self, product: str, item: str, method: str, parts: tuple[str, ...]) -> None:
        archive = self.archive(product)
        if (product, item, method) not in self.results.wanted:
            wanted = write_items(archive.product)[item]
            self.results.wanted[product, item, method] = expected(archive, wanted)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            job = {"method": method, "product": product, "item": item,
                   "written": str(Path(folder, "out.nc"))}  # fmt: skip
            told = self._work(job, str(self.folder / "cache"))
        right = self.results.wanted[product, item, method].digests
        if "failed" not in told and told["digests"] != right:
            told = {"failed": "its values are not those of the granules"}
        if "write" in parts:
            self._keep("write", product, item, method, told, lambda own: own["write"])
        if "end-to-end" in parts:
            self._keep("end-to-end", product, item, method, told, _end_to_end)

    def _open(self, product: str, method: str) -> None:
        with tempfile.TemporaryDirectory(prefix="bench-") as empty:
            told = self._work({"method": method, "product": product}, empty)
        self._keep("open", product, "cold", method, told, _opened)

    def _open_again(self, product: str, method: str) -> None:
        job = {"method": method, "product": product, "warm": True}
        cache = str(self.folder / "cache")
        if method.startswith("ours"):  # what an earlier request left behind
            self._work(job, cache)
        self._keep("open", product, "again", method, self._work(job, cache), _opened_again)

    def _read(self, product: str, item: str, method: str, part: str = "read") -> None:
        archive, few = self.archive(product), METHODS[method].files
        wanted = items(archive.product)[item]
        wanted = wanted.first(few) if few else wanted
        if (product, item, method) not in self.results.wanted:
            self.results.wanted[product, item, method] = expected(archive, wanted)
        job = {"method": method, "product": product, "item": item, "steps": few}
        told = self._work(job, str(self.folder / "cache"))
        right = self.results.wanted[product, item, method].digests
        if "failed" not in told and told["digests"] != right:
            told = {"failed": "its values are not those of the granules"}
        self._keep(part, product, item, method, told, lambda own: own["read"])

    def _start(self, form: str) -> None:
        """A process from its start to the printed plan, and the imports it cannot do without."""
        archive = self.archive(self.main_product)
        cache = {"HARMONY_VDS_CACHE_DIR": str(self.folder / "cache"), "PYTHONWARNINGS": "ignore"}
        plan = [str(Path(sys.executable).parent / "harmony-vds"), "subset", "--dry-run", "--store",
                str(archive.manifest(form)), "--trust", archive.base, "--variable", "analysed_sst",
                "--bbox", "10", "20", "20", "30",
                "--temporal", "1983-01-01T00:00:00Z", "1983-12-31T23:59:59Z"]  # fmt: skip
        for name, command in (("plan printed", plan),
                              ("imports", [sys.executable, "-c", STARTED_WITH])):  # fmt: skip
            resources(command, cache)
            told = resources(command, cache)
            self._keep("start", self.main_product, form, name, told, lambda own: own["all"])

    def _work(self, job: dict[str, Any], cache: str) -> dict[str, Any]:
        told = self._told(job, cache, "bench.worker")
        archive = self.archive(job["product"])
        if any(true_sample(archive, n) != got for n, got in told.get("sample", {}).items()):
            return {"failed": "its first value is not that of the granule"}
        return told

    def _told(self, job: dict[str, Any], cache: str, module: str) -> dict[str, Any]:
        """What a process of its own measures."""
        job = {**job, "folder": str(self.folder), "port": self.port}
        environment = {**os.environ, "HARMONY_VDS_CACHE_DIR": cache}
        command = [sys.executable, "-m", module, json.dumps(job)]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True,
                                  timeout=LONGEST)  # fmt: skip
        except subprocess.TimeoutExpired:
            return {"failed": f"not done after {LONGEST} s"}
        if done.returncode != 0:
            return {"failed": (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]}
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told

    def _keep(  # noqa: PLR0917  the key, the numbers, and which of them count
        self, part: str, product: str, item: str, method: str, told: dict[str, Any],
        chosen: Callable[[dict[str, Any]], dict[str, float]],
    ) -> None:  # fmt: skip
        record: dict[str, Any] = {
            "part": part, "product": product, "item": item, "method": method,
            "load": os.getloadavg()[0],
        }  # fmt: skip
        if "failed" in told:
            record["failed"] = told["failed"]
            self.tell(f"{part} {product} {item} {method}: FAILED, {told['failed']}")
        else:
            record |= {"numbers": chosen(told), "all": told}
            numbers = record["numbers"]
            self.tell(f"{part} {product} {item} {method}: {numbers['wall']:.2f} s wall, "
                      f"{numbers['cpu']:.2f} s CPU")  # fmt: skip
        self.results.records.append(record)


def _opened(told: dict[str, Any]) -> dict[str, float]:
    """A first opening counts the process from its start, imports included."""
    return {
        "wall": told["open"]["wall"] + told["imports"]["wall"],
        "cpu": told["process"]["cpu"],
        "imports": told["imports"]["cpu"],
        "rss": told["process"]["rss"],
    }


def _opened_again(told: dict[str, Any]) -> dict[str, float]:
    return {"wall": told["open"]["wall"], "cpu": told["open"]["cpu"],
            "imports": told["imports"]["cpu"], "rss": told["process"]["rss"]}  # fmt: skip


def _end_to_end(told: dict[str, Any]) -> dict[str, float]:
    """From the address of the store to the file; imports excluded."""
    both = {name: told["open"][name] + told["write"][name] for name in ("wall", "cpu")}
    return told["write"] | both


def resources(
    command: list[str], environment: dict[str, str], ends_with: int = 0
) -> dict[str, Any]:
    """Wall and CPU seconds of a command, whose exit status should be `ends_with`."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != ends_with:
        return {"failed": (said.strip() or f"status {process.returncode}").splitlines()[-1]}
    # Not ru_maxrss: it starts with what this process had when it made the new one.
    return {"all": {"wall": time.perf_counter() - start, "cpu": used.ru_utime + used.ru_stime}}


def _turned(methods: tuple[str, ...], repeat: int) -> tuple[str, ...]:
    """The methods in another order each time, so that no one always follows the same."""
    start = repeat * 2 % len(methods)
    return methods[start:] + methods[:start]


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    processor = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), platform.processor(),
    )  # fmt: skip
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin") or "nginx"
    told = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "processor": processor,
        "cores": os.cpu_count(),
        "memory": memory,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "server": told.strip().rpartition(" ")[2],
        "versions": {name: version(name) for name in PEERS},
    }
