"""``bin/bench``: opening, reading and writing, measured against other ways to do it."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from bench import levels, reproject
from bench.faults import main as print_faults
from bench.goals import Verdict, verdicts
from bench.plans import run_plan
from bench.rates import main as print_rates
from bench.runs import LATENCY, Bench, machine
from bench.server import NoServerError, free_port, serving
from bench.tables import show

_PARTS = {
    "open": ("open",), "read": ("read", "flat", "series"), "flat": ("flat",),
    "series": ("series",), "write": ("write",), "end-to-end": ("end-to-end",), "plan": ("plan",),
    "all": ("open", "read", "flat", "series", "write", "end-to-end"),
}  # fmt: skip


def main() -> int:
    if sys.argv[1:2] == ["rates"]:  # needs neither server nor stand-ins
        print_rates()
        return 0
    if sys.argv[1:2] == ["faults"]:
        return print_faults(sys.argv[2:])
    console, told = Console(highlight=False, width=130), Console(stderr=True, highlight=False)
    if sys.argv[1:2] == ["levels"]:
        levels.run([Path(own) for own in sys.argv[2:]], console)
        return 0
    options = _options()
    if options.part == "reproject":
        judged = reproject.run(options.repeats, console)
        for verdict in judged:
            console.print(str(verdict))
        return int(options.check and not all(verdict.met for verdict in judged))
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    port = _port(folder, options.port)
    bench = Bench(folder, port, options.repeats, options.scale, told.print)
    try:
        with _alone(folder):
            bench.make([bench.main_product])
            with serving(folder, port):
                judged_plans = run_plan(bench) if options.part == "plan" else []
                _run(bench, _PARTS[options.part])
    except NoServerError as error:
        told.print(str(error))
        return 2
    if options.part == "plan":
        for verdict in judged_plans:
            console.print(str(verdict))
        return int(options.check and not all(verdict.met for verdict in judged_plans))
    about = machine()
    _show_machine(console, about, bench)
    show(bench, console)
    judged = verdicts(bench, _PARTS[options.part])
    for verdict in judged:
        console.print(str(verdict))
    if options.json:
        options.json.write_text(_as_json(bench, about, judged))
    return int(options.check and not all(verdict.met for verdict in judged))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bin/bench", description=__doc__,
        epilog="Besides, rates: how fast one core inflates and writes; levels FILE …: what each "
        "level of compression costs and saves on the chunks of granules.",
    )  # fmt: skip
    parser.add_argument("part", choices=(*_PARTS, "reproject"))
    parser.add_argument("--repeats", type=int, default=3, help="times each number is measured")
    parser.add_argument(
        "--scale", choices=("small", "ostia", "all"), default="ostia",
        help="small: a tenth of the size, to try the benchmark itself; ostia: 552,240 references; "
        "all: SMAP's 4.7 and OPERA's 1.6 million too, for opening, once each",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a goal is missed")
    parser.add_argument("--folder", type=Path, default=_cache(), help="where stand-ins are kept")
    parser.add_argument("--port", type=int, help="the server's; by default that of the last run")
    return parser.parse_args()


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "harmony-vds" / "bench"


def _port(folder: Path, wanted: int | None) -> int:
    """References hold the port, so it is chosen once and kept with the stand-ins."""
    note = folder / "port"
    port = wanted or (int(note.read_text()) if note.exists() else free_port())
    note.write_text(str(port))
    return port


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two runs at once would disturb each other and share one server's counters."""
    import fcntl

    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NoServerError(f"Another run is using {folder}.") from None
        yield


def _run(bench: Bench, parts: tuple[str, ...]) -> None:
    if parts == ("plan",):
        return
    bench.measure_limits()
    if "open" in parts:
        bench.run_open()
    if "read" in parts:
        bench.run_read()
    if "flat" in parts:
        bench.run_flat()
    if "series" in parts:
        bench.run_all_series()
    if "write" in parts or "end-to-end" in parts:
        bench.run_write(parts)


def _show_machine(console: Console, about: dict, bench: Bench) -> None:
    limits = bench.results.limits
    load = max((record["load"] for record in bench.results.records), default=0.0)
    console.print(
        f"{about['date']}, {about['cores']} x {about['processor']}, "
        f"{about['memory'] / 2**30:.0f} GiB, "
        f"{about['system']}, Python {about['python']}; highest load {load:.1f}; "
        f"{LATENCY * 1000:.0f} ms added to each request\n"
        f"{about['server']} gives {limits['server_bytes_per_second'] / 1e6:,.0f} MB/s and "
        f"{limits['server_requests_per_second']:,.0f} requests/s; receiving takes "
        f"{limits['per_byte'] * 1e9:.2f} CPU s/GB and {limits['per_request'] * 1e6:.0f} CPU µs a "
        "request; inflating a chunk takes "
        + ", ".join(f"{t * 1e3:.2f} ms ({name})" for name, t in limits["inflate"].items())
        + "\n"
    )


def _as_json(bench: Bench, about: dict, judged: list[Verdict]) -> str:
    results = bench.results
    return json.dumps(
        {
            "machine": about,
            "latency": LATENCY,
            "repeats": bench.repeats,
            "limits": results.limits,
            "wanted": [{"product": product, "item": item, "method": method, **asdict(own)}
                       for (product, item, method), own in results.wanted.items()],
            "medians": [{"part": part, "product": product, "item": item, "method": method, **own}
                        for (part, product, item, method), own in results.medians().items()],
            "records": results.records,
            "goals": [{**asdict(verdict), "met": verdict.met} for verdict in judged],
        },
        indent=1,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
