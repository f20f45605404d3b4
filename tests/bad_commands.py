"""Command lines that ask for what cannot be, with files that they name.

As in `bad_requests`, each has a template of its own, also beside those of messages.
"""

# ruff: noqa: E501  one case a line

import json

type Refused = tuple[str, str, list[str]]
"""Words that the template of its message has and no other's; what the message must name; arguments,
where ``@`` stands for the folder of `FILES`."""

STORE = ["--store", "@/store.json"]
HISTORY = {
    "program": "harmony-vds",
    "date_time": "soon",
    "parameters": {"request": {}, "store": {}},
}
FILES: dict[str, str] = {
    "columns.csv": "a,b\n1,2\n",
    "header.csv": "lon,lat\n\n",
    "words.csv": "lon,lat\nhere,there\n",
    "long.csv": "lon,lat\n" + "1,2\n" * 100_001,
    "cells.csv": "time,value\n",
    "torn.json": "{",
    **{
        f"{name}.json": json.dumps({"refs": {".zattrs": json.dumps({"history_json": told})}})
        for name, told in {
            "number": "5", "numbers": "[5]", "others": '[{"program": "ncks"}]',
            "parameters": '[{"program": "harmony-vds", "parameters": 5}]',
            "moment": json.dumps([HISTORY]),
        }.items()
    },
}  # fmt: skip

COMMANDS: list[Refused] = [
    ("Name either --store or --collection", "--store", ["subset"]),
    ("Name either a store or a collection", "collection", ["inspect"]),
    ("should be months from # to #", "'13'", ["subset", *STORE, "--months", "13"]),
    ("should be LON LAT,LON LAT with", "'0 0'", ["subset", *STORE, "--line", "0 0"]),
    ("should be NAME=MIN:MAX", "'lev'", ["subset", *STORE, "--dimension", "lev"]),
    ("which is LON,LAT[,NAME], holds no place", "'here'", ["subset", *STORE, "--point", "here"]),
    ("nowhere.csv cannot be read", "The file of places", ["subset", *STORE, "--points", "@/nowhere.csv"]),
    ("should name the columns longitude and latitude", "'a,b'", ["subset", *STORE, "--points", "@/columns.csv"]),
    ("holds no places below its first line", "header.csv", ["subset", *STORE, "--points", "@/header.csv"]),
    ("Line # of", "'here,there'", ["subset", *STORE, "--points", "@/words.csv"]),
    ("lines, and # are the most", "100,002 lines", ["subset", *STORE, "--points", "@/long.csv"]),
    ("Name either files, a --collection or", "--stac", ["virtualize", "--output", "@/new.icechunk"]),
    ("and --revised-since go with --update", "--remove-deleted", ["virtualize", "--output", "@/new.icechunk", "@/a.nc", "--remove-deleted"]),
    ("list new granules only", "--created-since", ["virtualize", "--output", "@/new.icechunk", "@/a.nc", "--update", "--remove-deleted", "--created-since", "2024-01-01"]),
    ("name files by https or s#, not by", "'ftp'", ["virtualize", "--output", "@/new.icechunk", "@/a.nc", "--links", "ftp"]),
    ("No file fits the pattern", "*.nothing", ["virtualize", "--output", "@/new.icechunk", "@/*.nothing"]),
    ("which holds cells alone", "cells.csv", ["rerun", "@/cells.csv"]),
    ("torn.json cannot be read", "torn.json", ["rerun", "@/torn.json"]),
    ("keeps no request of harmony-vds", "others.json", ["rerun", "@/others.json"]),
]  # fmt: skip

ALSO_COMMANDS: list[Refused] = [
    ("should be months from # to #", "'1,x'", ["estimate", *STORE, "--months", "1,x"]),
    ("should be months from # to #", "''", ["subset", *STORE, "--months", ""]),
    ("should be LON LAT,LON LAT with", "'POINT (1 2)'", ["subset", *STORE, "--line", "POINT (1 2)"]),
    ("The place (#) lies beyond the poles", "(0, 95)", ["subset", *STORE, "--line", "0 0, 0 95"]),
    ("The place (#) holds a value", "(nan, 0)", ["subset", *STORE, "--point", "nan,0"]),
    ("should be NAME=MIN:MAX", "'lev=a:b'", ["subset", *STORE, "--dimension", "lev=a:b"]),
    ("torn.json cannot be read", "absent.nc4", ["rerun", "@/absent.nc4"]),
    ("keeps no request of harmony-vds", "number.json", ["rerun", "@/number.json"]),
    ("keeps no request of harmony-vds", "numbers.json", ["rerun", "@/numbers.json"]),
    ("keeps no request of harmony-vds", "parameters.json", ["rerun", "@/parameters.json"]),
    ("keeps no request of harmony-vds", "moment.json", ["rerun", "@/moment.json"]),
]  # fmt: skip
