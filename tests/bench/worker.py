"""One measurement in a process of its own: ``python -m bench.worker JOB`` prints it as JSON."""

import json
import resource
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


def cpu() -> float:
    """CPU seconds of this process, all its threads, and of its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(own.ru_utime + own.ru_stime for own in used)


def peak_memory() -> int:
    """Most bytes resident so far; ru_maxrss would count the parent's before exec."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


@dataclass
class Stopwatch:
    """Wall and CPU seconds since it was made."""

    def __post_init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), cpu()

    def read(self) -> dict[str, float]:
        return {"wall": time.perf_counter() - self.wall, "cpu": cpu() - self.cpu}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Open a store, take one value of each variable; then, if asked, read an item."""
    watch = Stopwatch()
    from bench.archive import PRODUCTS, Archive
    from bench.methods import METHODS
    from bench.server import ask
    from bench.work import digest, items, write_items

    own = watch.read()
    method = METHODS[job["method"]]
    watch = Stopwatch()
    method.imports()
    told: dict[str, Any] = {"imports": watch.read()}
    folder, port = Path(job["folder"]), job["port"]
    archive = Archive(folder, PRODUCTS[job["product"]], port)
    known = items(archive.product) | write_items(archive.product)
    item = known[job["item"]] if job.get("item") else None
    if item and job.get("steps"):
        item = item.first(job["steps"])
    if job.get("warm"):  # whatever is imported on first use
        tiny = Archive(folder, PRODUCTS["tiny"], port)
        method.open(tiny)
        method.sample(tiny, tiny.product.fields[0].name)
        method.close()
    ask(port, reset=True)
    watch = Stopwatch()
    method.open(archive)
    told["sample"] = {}
    for field in item.fields if item else [archive.product.fields[0].name]:
        if method.form != "files":
            told["sample"][field] = method.sample(archive, field)
    told["open"] = watch.read() | asdict(ask(port, reset=True))
    told["process"] = {"cpu": cpu() - own["cpu"], "rss": peak_memory()}
    if item and job.get("written"):
        path = Path(job["written"])
        watch = Stopwatch()
        method.write(item, path)
        told["write"] = watch.read() | asdict(ask(port, reset=True)) | {"rss": peak_memory()}
        told["write"]["file"] = path.stat().st_size
        told["digests"] = {name: digest(stored(path, name)) for name in item.fields}
    elif item:
        watch = Stopwatch()
        values = method.read(item)
        told["read"] = watch.read() | asdict(ask(port, reset=True)) | {"rss": peak_memory()}
        told["digests"] = {name: digest(own) for name, own in values.items()}
    method.close()
    return told


def stored(path: Path, name: str) -> Any:
    """Packed values of a file, by netCDF4 alone."""
    import netCDF4

    with netCDF4.Dataset(path) as nc:
        nc[name].set_auto_maskandscale(False)
        return nc[name][...]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(measure(json.loads(sys.argv[1]))))
