"""What others write: messages, records, manifests, shapes and addresses, right ones and harmed.

A harmed document is a right one in which a few places were changed: a value replaced by one of
another kind, a member taken away, called otherwise or put in twice; or a text in which a few bytes
were lost, turned or added.
"""

import copy
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from invocation import make_message

type Json = Any

ODD: st.SearchStrategy[Json] = st.one_of(
    st.sampled_from(
        [None, True, False, 0, -1, 2**31, 2**63, 2**70, -(2**63), 0.5, 1e308, float("nan"),
         float("inf"), "", " ", "0", "-1", "1e9", "nan", "../..", "\x00", "é", "😀", "a\nb",
         "x" * 300, "http://127.0.0.1:9/x", "file:///etc/hostname", "{{u}}", "%2e%2e/", [], {},
         [None], [[]], {"": None}, [1, [2, [3]]]]
    ),
    st.integers(), st.floats(), st.text(max_size=8),
    st.lists(st.integers(), max_size=3),
)  # fmt: skip
"""Values that stand where another was meant."""


def places(document: Json, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all that is inside of a document."""
    pairs = document.items() if isinstance(document, dict) else (
        enumerate(document) if isinstance(document, list) else ())  # fmt: skip
    for key, own in pairs:
        yield (*path, key)
        yield from places(own, (*path, key))


@st.composite
def harmed(draw: st.DrawFn, document: Json, most: int = 3) -> Json:
    """A document with up to `most` places changed."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, most))):
        listed = list(places(changed))
        if not listed:
            break
        *way, last = draw(st.sampled_from(listed))
        parent = changed
        for key in way:
            parent = parent[key]
        match draw(st.sampled_from(["replace", "replace", "drop", "rename", "twice"])):
            case "replace":
                parent[last] = copy.deepcopy(draw(ODD))  # sampled lists are one and the same
            case "drop":
                del parent[last]
            case "rename" if isinstance(parent, dict):
                parent[str(draw(st.text(max_size=4)))] = parent.pop(last)
            case _ if isinstance(parent, list):
                parent.append(copy.deepcopy(parent[last]))
    return changed


@st.composite
def spoilt(draw: st.DrawFn, text: bytes, most: int = 3) -> bytes:
    """Bytes of which some were lost, turned or added."""
    body = bytearray(text)
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, max(len(body) - 1, 0)))
        match draw(st.sampled_from(["cut", "turn", "add", "lose", "end"])):
            case "turn" if body:
                body[at] ^= 1 << draw(st.integers(0, 7))
            case "add":
                body[at:at] = draw(st.binary(max_size=6))
            case "cut":
                del body[at : at + draw(st.integers(1, 40))]
            case "lose" if body:
                del body[at]
            case _ if draw(st.booleans()):
                del body[at:]
    return bytes(body)


# ---------------------------------------------------------------- messages

_MOMENTS = st.datetimes().map(lambda own: f"{own.isoformat()}Z")


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """Messages as Harmony writes them."""
    more: dict[str, Any] = {}
    if draw(st.booleans()):
        start, end = sorted(draw(st.tuples(_MOMENTS, _MOMENTS)))
        more["temporal"] = {"start": start, "end": end}
    if draw(st.booleans()):
        south, north = sorted(draw(st.tuples(*[st.floats(-90, 90)] * 2)))
        more["bbox"] = [draw(st.floats(-180, 180)), south, draw(st.floats(-180, 180)), north]
    subset: dict[str, Any] = {"dimensions": draw(st.lists(st.fixed_dictionaries(
        {"name": st.sampled_from(["lat", "lev"]), "min": st.integers(0, 5), "max": st.just(9)}
    ), max_size=2))}  # fmt: skip
    if draw(st.booleans()):
        subset["point"] = [draw(st.floats(-180, 180)), draw(st.floats(-90, 90))]
    message = make_message(
        "C1-DEMO", variables=draw(st.sampled_from([None, [], ["sst"], ["/a/b", "c"]])), **more
    )
    message["subset"] |= subset
    message["format"] |= draw(st.sampled_from([
        {}, {"mime": "text/csv"}, {"crs": "EPSG:3857", "interpolation": "near"},
        {"scaleSize": {"x": 0.5, "y": 0.5}, "width": 10, "height": 5},
        {"scaleExtent": {"x": {"min": 0, "max": 1}, "y": {"min": 0, "max": 1}}},
    ]))  # fmt: skip
    return message


# ---------------------------------------------------------------- shapes

_PLACES = st.tuples(st.floats(-180, 180), st.floats(-90, 90)).map(list)


def _ring(corner: list[float], size: float) -> list[list[float]]:
    x, y = corner
    return [[x, y], [x + size, y], [x + size, y + size], [x, y + size], [x, y]]


_RINGS = st.builds(
    _ring, st.tuples(st.floats(-170, 160), st.floats(-80, 70)).map(list), st.floats(0.01, 9)
)
GEOMETRIES: st.SearchStrategy[Json] = st.recursive(
    st.one_of(
        _PLACES.map(lambda own: {"type": "Point", "coordinates": own}),
        st.lists(_PLACES, min_size=1, max_size=4).map(
            lambda own: {"type": "MultiPoint", "coordinates": own}
        ),
        _RINGS.map(lambda own: {"type": "LineString", "coordinates": own[:3]}),
        _RINGS.map(lambda own: {"type": "Polygon", "coordinates": [own]}),
        st.lists(_RINGS, min_size=1, max_size=3).map(
            lambda own: {"type": "MultiPolygon", "coordinates": [[ring] for ring in own]}
        ),
    ),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(
        lambda own: {"type": "GeometryCollection", "geometries": own}
    ),
    max_leaves=4,
)
_FEATURES = GEOMETRIES.map(lambda own: {"type": "Feature", "geometry": own, "properties": {}})
SHAPES: st.SearchStrategy[Json] = st.one_of(
    GEOMETRIES,
    _FEATURES,
    st.lists(_FEATURES, min_size=1, max_size=3).map(
        lambda own: {"type": "FeatureCollection", "features": own}
    ),
)


# ---------------------------------------------------------------- DMR++

_NUMBER = re.compile(r'(?<=")-?\d+(?=")|(?<=>)-?[\d ]+(?=<)')


@st.composite
def harmed_dmrpp(draw: st.DrawFn, text: str) -> bytes:
    """A DMR++ document with other numbers, fewer or doubled elements, or spoilt bytes."""
    for _ in range(draw(st.integers(1, 3))):
        match draw(st.sampled_from(["number", "element", "bytes"])):
            case "number" if found := list(_NUMBER.finditer(text)):
                own = draw(st.sampled_from(found))
                new = draw(st.sampled_from(["-1", "0", "", "x", "1e3", "9" * 20, "1 2", "[0]"]))
                text = text[: own.start()] + new + text[own.end() :]
            case "element" if found := list(re.finditer(r"<[^>]*>", text)):
                own = draw(st.sampled_from(found))
                text = text[: own.start()] + own[0] * draw(st.sampled_from([0, 2]))
                text += own.string[own.end() :]
            case _:
                text = draw(spoilt(text.encode("latin-1"), 1)).decode("latin-1")
    return text.encode("latin-1", "replace")


# ---------------------------------------------------------------- addresses

_SCHEMES = st.sampled_from(["https", "HTTPS", "http", "s3", "file", "ftp", "data", "gopher", ""])
_HOSTS = st.sampled_from([
    "archive.podaac.earthdata.nasa.gov", "podaac-ops-cumulus-protected", "127.0.0.1", "127.1",
    "0x7f.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "localhost",
    "earthdata.nasa.gov.example.com", "example.com", "EXAMPLE.com.", "ex\uff0eample.com", "a b",
    "user@example.com", "user:pw@urs.earthdata.nasa.gov", "", "-", "xn--a", "a..b", "10.0.0.1",
])  # fmt: skip
_PORTS = st.sampled_from(["", ":443", ":80", ":0", ":99999", ":x", ":-1", ": 443"])
_PATHS = st.lists(
    st.one_of(
        st.sampled_from(["a", "..", ".", "%2e%2e", "%2F", "%00", "\\", "a b", "é", "a.nc", "",
                         "%", "%zz", "#x", "?y=1", "x?X-Amz-Signature=abc", "{{u}}", "\t"]),
        st.text(max_size=4),
    ),
    max_size=4,
).map("/".join)  # fmt: skip


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """URLs of all forms, right ones and traps."""
    scheme, path = draw(_SCHEMES), draw(_PATHS)
    if not scheme:
        return draw(st.sampled_from(["", "/", "//", "\\\\"])) + path
    slashes = draw(st.sampled_from(["//", "//", "//", "/", "", "///"]))
    url = f"{scheme}:{slashes}{draw(_HOSTS)}{draw(_PORTS)}/{path}"
    around = draw(st.sampled_from(["", "", "", "icechunk:", "reference::", "simplecache::"]))
    return around + url + draw(st.sampled_from(["", "", "|zarr3:", "|icechunk://branch.main", "/"]))
