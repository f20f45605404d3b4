"""A run as tables to read."""

from rich.console import Console
from rich.table import Table

from bench.archive import PRODUCTS
from bench.limits import ideal
from bench.runs import LATENCY, SERIES, Bench
from bench.work import items, write_items


def show(bench: Bench, console: Console) -> None:
    """Print every table for which there are numbers."""
    tables = (*_openings(bench), _starts(bench), *_reads(bench), _flat(bench), *_series(bench),
              *_writes(bench))  # fmt: skip
    for table in tables:
        if table.row_count:
            console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column(columns[0])
    for name in columns[1:]:
        table.add_column(name, justify="right")
    return table


def _openings(bench: Bench) -> list[Table]:
    tables = []
    titles = {"cold": "first opening to first value", "again": "opening again, imports excluded"}
    medians = bench.results.medians()
    for product in PRODUCTS:
        for item, title in titles.items():
            count = PRODUCTS[product].references
            table = _table(
                f"{product}, {count:,} references: {title}",
                "method", "CPU s", "x ours", "wall s", "imports CPU s", "peak MB",
            )  # fmt: skip
            own = medians.get(("open", product, item, "ours, kerchunk"), {}).get("cpu")
            for (part, stored, kind, method), numbers in medians.items():
                if (part, stored, kind) == ("open", product, item):
                    table.add_row(
                        method, f"{numbers['cpu']:.2f}",
                        f"{numbers['cpu'] / own:.1f}" if own else "",
                        f"{numbers['wall']:.2f}", f"{numbers['imports']:.2f}",
                        f"{numbers['rss'] / 1e6:.0f}",
                    )  # fmt: skip
            tables.append(table)
    return tables


def _starts(bench: Bench) -> Table:
    table = _table("process start", "what", "CPU s", "wall s")
    for (part, _, form, method), numbers in bench.results.medians().items():
        if part == "start":
            cpu, wall = f"{numbers['cpu']:.2f}", f"{numbers['wall']:.2f}"
            table.add_row(f"{method} ({form})", cpu, wall)
    return table


def _reads(bench: Bench) -> list[Table]:
    medians = bench.results.medians()
    tables = []
    for product in (bench.main_product, f"{bench.main_product}-tenth"):
        for name, item in items(PRODUCTS[product]).items():
            some = next((w for (p, i, m), w in bench.results.wanted.items()
                         if (p, i) == (product, name) and m != "download"), None)  # fmt: skip
            if some is None:
                continue
            best = ideal(bench.results.limits, some, LATENCY)
            measured = "" if item.share == 1 else f", {item.share:.0%} of it measured"
            table = _table(
                f"({name}) {item.title}{measured}, {product}: {some.chunks:,} chunks, "
                f"{some.stored / 1e6:,.0f} MB; ideal {best:.2f} s",
                "method", "wall s", "x ours", "x ideal", "CPU s", "requests", "MB", "in flight",
                "peak MB", "the whole, wall s",
            )  # fmt: skip
            own = medians.get(("read", product, name, "ours, kerchunk"), {}).get("wall")
            for (part, stored, kind, method), numbers in medians.items():
                if (part, stored, kind) != ("read", product, name):
                    continue
                share = bench.results.wanted[product, name, method].chunks / some.chunks
                wall = numbers["wall"] / share
                note = "" if share == 1 else " *"
                table.add_row(
                    method + note, f"{wall:.2f}", f"{wall / own:.1f}" if own else "",
                    f"{wall / best:.1f}", f"{numbers['cpu'] / share:.2f}",
                    f"{numbers['requests'] / share:,.0f}",
                    f"{numbers['nbytes'] / share / 1e6:,.0f}",
                    f"{numbers['most']:.0f}", f"{numbers['rss'] / 1e6:.0f}",
                    "" if item.share == 1 else f"{wall / item.share:,.0f} *",
                )  # fmt: skip
            if any(own.endswith("*") for own in table.columns[0].cells):
                table.caption = "* extrapolated from the part that was measured"
            tables.append(table)
    return tables


def _flat(bench: Bench) -> Table:
    title = "(d), the same selection from two records"
    table = _table(title, "method", "record", "CPU s", "wall s", "peak MB")
    for (part, product, _, method), numbers in bench.results.medians().items():
        if part == "flat":
            table.add_row(
                method, f"{PRODUCTS[product].references:,} references", f"{numbers['cpu']:.2f}",
                f"{numbers['wall']:.2f}", f"{numbers['rss'] / 1e6:.0f}",
            )  # fmt: skip
    return table


def _series(bench: Bench) -> list[Table]:
    return [_one_series(bench, own.NAME, own.TITLE, own.SERVICE) for own in SERIES]


def _one_series(bench: Bench, name: str, title: str, service: str) -> Table:
    table = _table(f"({name}) {title}, {bench.main_product}", "method", "wall s", "x ours",
                   "CPU s", "requests", "MB", "in flight", "peak MB")  # fmt: skip
    found = {
        method: numbers
        for (part, _, item, method), numbers in bench.results.medians().items()
        if (part, item) == ("mean", name)
    }  # fmt: skip
    own = found.get(service, {}).get("wall")
    for method, numbers in found.items():
        share = numbers["share"]
        wall = numbers["wall"] / share
        note = "" if share == 1 else " *"
        table.add_row(
            method + note, f"{wall:.2f}", f"{wall / own:.1f}" if own else "",
            f"{numbers['cpu'] / share:.2f}", f"{numbers['requests'] / share:,.0f}",
            f"{numbers['nbytes'] / share / 1e6:,.0f}", f"{numbers['most']:.0f}",
            f"{numbers['rss'] / 1e6:.0f}",
        )  # fmt: skip
    table.caption = "* extrapolated from the part that was measured"
    return table


def _writes(bench: Bench) -> list[Table]:
    medians, product = bench.results.medians(), bench.main_product
    tables = []
    titles = {"write": "from an open store to a netCDF-4 file", "end-to-end": "opening included"}
    for wanted, title in titles.items():
        for name, item in write_items(PRODUCTS[product]).items():
            table = _table(
                f"({name}) {item.title}, {product}: {title}",
                "method", "wall s", "x ours", "CPU s", "MB fetched", "MB written", "peak MB",
            )  # fmt: skip
            own = medians.get((wanted, product, name, "ours, kerchunk"), {}).get("wall")
            for (part, stored, kind, method), numbers in medians.items():
                if (part, stored, kind) == (wanted, product, name):
                    table.add_row(
                        method, f"{numbers['wall']:.2f}",
                        f"{numbers['wall'] / own:.1f}" if own else "", f"{numbers['cpu']:.2f}",
                        f"{numbers['nbytes'] / 1e6:,.0f}", f"{numbers['file'] / 1e6:,.0f}",
                        f"{numbers['rss'] / 1e6:.0f}",
                    )  # fmt: skip
            tables.append(table)
    return tables
