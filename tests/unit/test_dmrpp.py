"""DMR++ documents: every way of storing values reads as h5py reads the file, or is refused."""

import base64
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from dmrpp import document, write_dmrpp
from servers import file_server
from systems.kits import ask, described, raw, request, same_bits, services
from world import write_granule

from harmony_vds.errors import StoreError
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.pipeline import prepare
from harmony_vds.stores.open import open_store

PAIRS = "s30_dmrpp_pairs"
OTHER_FILE = {"FletcherShuffle.nc4"}
"""Pairs whose DMR++ describes another edition of the file: its offsets lie in its header."""
NAMED_DIFFERENTLY = {"grid_1_2d.h5", "grid_2_2d.h5"}
"""Their DMR++ has an underscore where the file's groups have a blank."""


def opened(path: Path, data: Path | None = None) -> VirtualStore:
    """The store, its values read from `data` if given."""
    with services(trusted=("file:///",)) as using:
        href = None if data is None else data.as_uri()
        location = StoreLocation(path.as_uri(), ManifestFormat.DMRPP, data_href=href)
        return open_store([location], using.access)


def written(body: str, folder: Path, values: bytes = b"", version: str = "3.21") -> VirtualStore:
    """A store over a document with `body`, whose data file holds `values`."""
    (folder / "granule").write_bytes(values)
    (folder / "granule.dmrpp").write_text(document(body, version=version), encoding="latin-1")
    return opened(folder / "granule.dmrpp")


def chunked(inner: str, around: str = "", kind: str = "Int16", size: int = 4) -> str:
    return (
        f'<{kind} name="field"><Dim size="{size}"/><dmrpp:chunks {around}>'
        f"<dmrpp:chunkDimensionSizes>2</dmrpp:chunkDimensionSizes>{inner}</dmrpp:chunks></{kind}>"
    )


TWO = (
    '<dmrpp:chunk offset="0" nBytes="4" chunkPositionInArray="[0]"/>'
    '<dmrpp:chunk offset="4" nBytes="4" chunkPositionInArray="[2]"/>'
)
LONG = f'<Attribute name="a" type="String"><Value>{"x" * 2**21}</Value></Attribute>'
AXIS = '<Dimension name="field" size="100000000"/><Int16 name="field"><Dim name="/field"/>'
FOUR = np.array([1, -2, 3, 4], "<i2")


@pytest.mark.shared
def test_every_real_pair_reads_as_its_file(data: Path) -> None:
    compared = 0
    for sidecar in sorted((data / PAIRS).glob("*.dmrpp")):
        granule = sidecar.with_suffix("")
        if not granule.exists() or granule.name in OTHER_FILE | NAMED_DIFFERENTLY:
            continue
        store = opened(sidecar, granule)
        with h5py.File(granule) as file:
            for node in store.tree.subtree:
                for name, variable in node.to_dataset(inherit=False).variables.items():
                    path = f"{node.path.rstrip('/')}/{name}"
                    wanted = np.asarray(file[path][()])
                    assert variable.dtype == wanted.dtype, (granule.name, path)
                    assert same_bits(np.asarray(variable.values), wanted), (granule.name, path)
                    compared += 1
    assert compared >= 55


@pytest.mark.shared
def test_real_documents_open_with_all_their_variables(data: Path) -> None:
    counts = {
        "AIRS.2015.12.30.L3.RetStd_IR001.v6.0.31.0.G16116184203.nc.h5.dmrpp": 777,
        "MERRA2_400.tavgM_2d_slv_Nx.201606.nc4.dmrpp": 97,
        "TestGroupData.nc4.dmrpp": 8,
        "air_groups.nc.dmrpp": 4,
        "tempo_l2.nc.dmrpp": 36,
    }
    for name, count in counts.items():
        store = opened(data / "s31_dmrpp_real" / name, data / "nowhere.nc")
        held = [node.to_dataset(inherit=False).variables for node in store.tree.subtree]
        assert sum(map(len, held)) == count
        assert not store.defects


def test_subset_of_a_granule_equals_the_granule_though_the_sidecar_lies_elsewhere(
    tmp_path: Path,
) -> None:
    for folder in ("public", "protected"):
        (tmp_path / folder).mkdir()
    granule = write_granule(tmp_path / "protected" / "day.nc", 3)
    with file_server(tmp_path) as server:
        write_dmrpp(granule, tmp_path / "public" / "day.nc.dmrpp", f"{server.url}/protected/day.nc")
        wanted = request(["analysed_sst"], (-30.0, -20.0, 40.0, 35.0))
        using = services(trusted=(server.url,))
        answer = ask(wanted, f"{server.url}/public/day.nc.dmrpp", using, tmp_path / "out")
        ranges = [own.headers["Range"] for own in server.asked if "protected" in own.path]
    lat, lon = raw(granule, "lat"), raw(granule, "lon")
    rows = np.flatnonzero((lat >= -20) & (lat <= 35))
    columns = np.flatnonzero((lon >= -30) & (lon <= 40))
    expected = raw(granule, "analysed_sst")[:, rows][:, :, columns]
    assert same_bits(answer.read("analysed_sst"), expected)
    bounds = [tuple(map(int, own.removeprefix("bytes=").split("-"))) for own in ranges]
    assert 0 < sum(last - first for first, last in bounds) < granule.stat().st_size / 2
    ours, theirs = described(answer.path, "analysed_sst"), described(granule, "analysed_sst")
    assert ours[:2] == theirs[:2]
    for name, value in theirs[2].items():
        assert ours[2][name] == value
        assert type(ours[2][name]) is type(value), name


def test_planned_reader_and_zarr_read_the_same(tmp_path: Path) -> None:
    granule = write_granule(tmp_path / "day.nc", 1)
    sidecar = write_dmrpp(granule, tmp_path / "day.nc.dmrpp")
    store = opened(sidecar)
    for name, variable in store.tree.variables.items():
        assert same_bits(np.asarray(variable.values), raw(granule, str(name)))
        assert store.merge_gap(f"/{name}") >= 0


def test_groups_and_their_shared_dimensions_are_kept(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "g.h5", "w") as file:
        file["x"] = np.arange(3, dtype="<f4")
        file["x"].make_scale("x")
        file["a/b/field"] = np.arange(6, dtype="<i4").reshape(2, 3)
        file["a/y"] = np.arange(2, dtype="<f8")
        file["a/y"].make_scale("y")
        file["a/b/field"].dims[0].attach_scale(file["a/y"])
        file["a/b/field"].dims[1].attach_scale(file["x"])
    store = opened(write_dmrpp(tmp_path / "g.h5", tmp_path / "g.h5.dmrpp"))
    field = store.tree["a/b/field"]
    assert field.dims == ("y", "x")
    assert field.coords["y"].values.tolist() == [0.0, 1.0]
    assert field.coords["x"].values.tolist() == [0.0, 1.0, 2.0]
    assert field.values.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("written_in", ["names", "attributes"])
def test_flattened_names_are_put_back_into_their_groups(written_in: str, tmp_path: Path) -> None:
    full = written_in == "names"
    name = (lambda n: f"/g/{n}") if full else (lambda n: f"g_{n}")
    noted = (
        (lambda _: "")
        if full
        else lambda n: (
            f'<Attribute name="fullnamepath" type="String"><Value>/g/{n}</Value></Attribute>'
            f'<Attribute name="origname" type="String"><Value>{n}</Value></Attribute>'
        )
    )
    dimension = "/g/y" if full else "/g_y"
    body = (
        f'<Dimension name="{dimension.removeprefix("" if full else "/")}" size="2"/>'
        f'<Int16 name="{name("y")}"><Dim name="{dimension}"/>{noted("y")}'
        '<dmrpp:chunk offset="0" nBytes="4"/></Int16>'
        f'<Int16 name="{name("field")}"><Dim name="{dimension}"/>{noted("field")}'
        f'<Attribute name="coordinates" type="String"><Value>{name("y")}</Value></Attribute>'
        '<dmrpp:chunk offset="4" nBytes="4"/></Int16>'
    )
    store = written(body, tmp_path, FOUR.tobytes())
    field = store.tree["g/field"]
    assert field.values.tolist() == [3, 4]
    assert field.coords["y"].values.tolist() == [1, -2]
    assert field.attrs == {"coordinates": "/g/y"}


def test_attributes_keep_their_types(tmp_path: Path) -> None:
    texts = {
        "one": ("Float32", ["0.1"]), "many": ("Int16", ["1", "-2"]), "wide": ("UInt64", [
            "18446744073709551615"]), "nan": ("Float64", ["NaN"]), "name": ("String", ["µ"]),
        "names": ("String", ["a", "b"]), "odd": ("Int8", ["300"]), "other": ("null", ["U"]),
    }  # fmt: skip
    body = "".join(
        f'<Attribute name="{name}" type="{kind}">'
        f"{''.join(f'<Value>{v}</Value>' for v in values)}</Attribute>"
        for name, (kind, values) in texts.items()
    )
    body += (
        '<Attribute name="box" type="Container"><Attribute name="inner" type="Int32"><Value>7'
        "</Value></Attribute></Attribute>"
        '<Attribute name="build_dmrpp_metadata" type="Container"><Attribute name="bes" '
        'type="String"><Value>3.21</Value></Attribute></Attribute>'
    )
    found = written(body, tmp_path).tree.attrs
    assert found["one"] == np.float32(0.1)
    assert found["one"].dtype == "f4"
    assert found["many"].dtype == "i2"
    assert found["many"].tolist() == [1, -2]
    assert found["wide"] == 2**64 - 1
    assert np.isnan(found["nan"])
    assert found["name"] == "µ"
    assert found["names"] == ["a", "b"]
    assert found["odd"] == "300"
    assert found["other"] == "U"
    assert found["box_inner"] == 7
    assert "build_dmrpp_metadata_bes" not in found


@pytest.mark.parametrize(("order", "code"), [("LE", "<i2"), ("BE", ">i2")])
def test_byte_order_is_honoured(order: str, code: str, tmp_path: Path) -> None:
    body = chunked(TWO, f'byteOrder="{order}"')
    store = written(body, tmp_path, FOUR.astype(code).tobytes())
    assert store.tree["field"].values.tolist() == FOUR.tolist()


def test_checksum_of_a_chunk_is_taken_off_and_compared(tmp_path: Path) -> None:
    path, sidecar = tmp_path / "checked.nc", tmp_path / "checked.nc.dmrpp"
    values = np.arange(40, dtype="<i4").reshape(4, 10)
    with h5py.File(path, "w") as file:
        file.create_dataset("field", data=values, chunks=(2, 10), fletcher32=True, shuffle=True)
        start = file["field"].id.get_chunk_info(1).byte_offset
    write_dmrpp(path, sidecar)
    assert "fletcher32" in sidecar.read_text()
    assert same_bits(np.asarray(opened(sidecar).tree["field"]), values)
    body = bytearray(path.read_bytes())
    body[start + 5] ^= 0x10
    path.write_bytes(body)
    with pytest.raises(StoreError, match=r"chunk 1\.0 of field"):
        np.asarray(opened(sidecar).tree["field"])


def test_filters_of_documents_without_version_are_in_the_order_of_hdf5(tmp_path: Path) -> None:
    planes = FOUR[:2].view("u1").reshape(2, 2).T.tobytes()
    body = zlib.compress(planes)
    chunk = f'<dmrpp:chunk offset="0" nBytes="{len(body)}" chunkPositionInArray="[0]"/>'
    text = chunked(chunk, 'compressionType="deflate shuffle"', size=2)
    assert written(text, tmp_path, body, "").tree["field"].values.tolist() == [1, -2]
    with pytest.raises(StoreError):
        written(text, tmp_path, body, "3.20").tree["field"].load()


@pytest.mark.parametrize(
    ("kind", "told", "declared", "exact"),
    [
        ("Float32", "9.96921e+36", "", np.float32(9.969209968386869e36)),
        ("Float64", "9.96921e+36", "", np.float64(9.969209968386869e36)),
        ("Float64", "-1.23457e+08", "-123456789.25", np.float64(-123456789.25)),
        ("Float32", "nan", "", np.float32(np.nan)),
        ("Int16", "-32767", "", np.int16(-32767)),
        ("UInt8", "255", "7", np.uint8(255)),
    ],
)
def test_chunk_that_was_never_written_reads_as_the_whole_fill_value(
    kind: str, told: str, declared: str, exact: np.generic, tmp_path: Path
) -> None:
    attribute = f'<Attribute name="_FillValue" type="{kind}"><Value>{declared}</Value></Attribute>'
    body = chunked("", f'fillValue="{told}"', kind).replace(
        "<Dim", f"{attribute if declared else ''}<Dim"
    )
    store = written(body, tmp_path)
    assert same_bits(store.tree["field"].values, np.full(4, exact))
    assert store.chunk_index("/field").tally([range(4)]).missing == 2


def test_compact_missing_and_scalar_values_in_the_document_are_read(tmp_path: Path) -> None:
    packed = base64.b64encode(zlib.compress(FOUR.tobytes())).decode()
    plain = base64.b64encode(FOUR.tobytes()).decode()
    body = (
        f'<Int16 name="compact"><Dim size="4"/><dmrpp:compact>\n {plain}\n</dmrpp:compact></Int16>'
        f'<Int16 name="missing"><Dim size="2"/><Dim size="2"/><dmrpp:missingdata>{packed}'
        "</dmrpp:missingdata></Int16>"
        f'<Byte name="byte"><dmrpp:missingdata>{base64.b64encode(b"A").decode()}'
        "</dmrpp:missingdata></Byte>"
        '<Float64 name="scalar"><dmrpp:chunks><dmrpp:chunk offset="3" nBytes="8"/></dmrpp:chunks>'
        "</Float64>"
    )
    store = written(body, tmp_path, b"xyz" + np.float64(2.5).tobytes())
    assert store.tree["compact"].values.tolist() == FOUR.tolist()
    assert store.tree["missing"].values.tolist() == [[1, -2], [3, 4]]
    assert store.tree["byte"].values == 65
    assert store.tree["scalar"].values == 2.5


def test_strings_of_fixed_length_and_enumerations_are_read(tmp_path: Path) -> None:
    body = (
        '<Enumeration name="kinds" basetype="Int8"><EnumConst name="dry land" value="-1"/>'
        '<EnumConst name="sea" value="2"/></Enumeration>'
        '<String name="text"><Dim size="2"/><dmrpp:FixedLengthStringArray string_length="3" '
        'pad="null_pad"/><dmrpp:chunk offset="0" nBytes="6"/></String>'
        '<Enum name="kind" enum="/kinds"><Dim size="2"/><dmrpp:chunk offset="6" nBytes="2"/></Enum>'
    )
    store = written(body, tmp_path, b"abcde\x00\xff\x02")
    assert store.tree["text"].values.tolist() == [b"abc", b"de"]
    kind = store.tree["kind"]
    assert kind.values.tolist() == [-1, 2]
    assert kind.attrs["flag_values"].tolist() == [-1, 2]
    assert kind.attrs["flag_meanings"] == "dry_land sea"


def test_a_few_rows_of_contiguous_values_cost_a_few_blocks(tmp_path: Path) -> None:
    values = np.arange(1200 * 2048, dtype="<f4").reshape(1, 1200, 2048)
    body = (
        '<Float32 name="field"><Dim size="1"/><Dim size="1200"/><Dim size="2048"/>'
        f'<dmrpp:chunk offset="16" nBytes="{values.nbytes}"/></Float32>'
    )
    store = written(body, tmp_path, bytes(16) + values.tobytes())
    rows = [range(1), range(700, 710), range(2048)]
    assert store.chunk_index("/field").tally(rows).stored < values.nbytes / 2
    assert same_bits(store.tree["field"].values, values)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('<String name="field"><Dim size="2"/><dmrpp:chunk offset="0" nBytes="32"/></String>',
         "varying length"),
        ('<String name="field"><Dim size="1"/><dmrpp:vlsa><v>a</v></dmrpp:vlsa></String>',
         "varying length"),
        ('<Structure name="field"/>', "Structure"),
        ('<Int16 name="field"><Dim size="2"/></Int16>', "does not say where"),
        (chunked('<dmrpp:block offset="0" nBytes="4"/><dmrpp:block offset="4" nBytes="4"/>'),
         "several pieces"),
        (chunked(TWO, 'LBChunk="true"'), "several pieces"),
        (chunked(TWO.replace("/>", ' fm="2"/>', 1)), "without its filters"),
        (chunked(TWO, 'compressionType="szip"'), "'szip'"),
        (chunked(TWO.replace('"[2]"', '"[3]"')), "outside its grid"),
        (chunked(TWO.replace('"[2]"', '"[8]"')), "outside its grid"),
        (chunked(TWO.replace('"[2]"', '"[0]"')), "twice"),
        (chunked(TWO.replace('"[2]"', '""')), "no place"),
        (chunked(TWO.replace('offset="4"', 'offset="-4"')), "negative"),
        (chunked(TWO.replace('offset="4"', f'offset="{2**80}"')), "no usable number"),
        (chunked(TWO.replace('offset="0"', 'offset="0x"')), "no usable number"),
        (chunked(""), "never written"),
        (chunked("", 'fillValue="unsupported-string"'), "unsupported-string"),
        (chunked(TWO.replace("/>", ' href="elsewhere.h5"/>')), "no complete address"),
        ('<Int16 name="field"><Dim size="4"/><dmrpp:chunk offset="0" nBytes="6"/></Int16>',
         "6 bytes instead of 8"),
        ('<Int16 name="field"><Dim size="4"/><dmrpp:compact>%%</dmrpp:compact></Int16>', "base64"),
        ('<Int16 name="field"><Dim size="4"/><dmrpp:compact>AAAA</dmrpp:compact></Int16>',
         "3 bytes instead of 8"),
        ('<Int16 name="field"><Dim name="/gone"/><dmrpp:chunk offset="0" nBytes="8"/></Int16>',
         "/gone"),
        (chunked("", 'fillValue="0"', size=2**61),
         "chunks; at most"),
        (chunked(TWO).replace("<Dim", f"{LONG}<Dim"), "attribute a"),
        (f"{AXIS}<dmrpp:chunks fillValue='0'/></Int16>", "coordinate of 100,000,000"),
    ],
)  # fmt: skip
def test_variable_that_cannot_be_read_is_named_with_its_reason_and_others_work(
    body: str, told: str, tmp_path: Path
) -> None:
    other = '<Int16 name="sound"><Dim size="4"/><dmrpp:chunk offset="0" nBytes="8"/></Int16>'
    store = written(body + other, tmp_path, FOUR.tobytes())
    assert told in store.defects["/field"]
    assert "field" not in store.tree
    assert store.tree["sound"].values.tolist() == FOUR.tolist()
    with services(trusted=("file:///",)) as using:
        href = (tmp_path / "granule.dmrpp").as_uri()
        with pytest.raises(StoreError, match="variable 'field' cannot be read"):
            prepare(request(["field"]), using, href)
        assert any("/field" in note for note in prepare(request(), using, href)[0].plan.notes)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<Dataset", "not readable XML"),
        ("<html/>", "no DMR++"),
        ('<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><d>&b;</d>', "document type"),
        ('<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/hostname">]><d>&a;</d>', "document type"),
        ("<a>" * 300 + "</a>" * 300, "not readable XML"),
        (f"<a>{'x' * 11_000_000}</a>", "not readable XML"),
        (document('<Group name=".."/>'), "the name '..'"),
        (document('<Dimension name="x" size="-1"/>'), "where a length should be"),
    ],
)
def test_document_that_is_no_dmrpp_or_an_attack_is_refused(
    text: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / "granule.dmrpp").write_text(text)
    with pytest.raises(StoreError) as refused:
        opened(tmp_path / "granule.dmrpp")
    assert told in str(refused.value)


def test_document_that_does_not_say_where_its_data_lie_tells_how_to_publish_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "sidecar.xml").write_text(document(""))
    with pytest.raises(StoreError, match=r"with .dmrpp appended"):
        opened(tmp_path / "sidecar.xml")


def test_address_in_the_document_that_may_not_be_read_gives_way_to_the_file_beside_it(
    tmp_path: Path,
) -> None:
    granule = write_granule(tmp_path / "day.nc", 0)
    href = "https://stranger.example.com/day.nc"
    store = opened(write_dmrpp(granule, tmp_path / "day.nc.dmrpp", href))
    assert store.location.data_href == granule.as_uri()
    assert same_bits(np.asarray(store.tree["lat"].values), raw(granule, "lat"))
