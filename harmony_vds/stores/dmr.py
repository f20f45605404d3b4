"""DMR documents of DAP4: groups, dimensions, types and attributes of a file.

The XML comes from outside: entities and document types are refused, and libxml2 bounds the depth
and the length of texts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lxml import etree

from harmony_vds.errors import StoreError
from harmony_vds.model.paths import ancestors, group_of, join, name_of
from harmony_vds.stores.crowding import refuse_crowded_xml

DAP = "{http://xml.opendap.org/ns/DAP/4.0#}"
DMRPP = "{http://xml.opendap.org/dap/dmrpp/1.0.0#}"

NUMBERS = {
    "Byte": "u1", "UByte": "u1", "UInt8": "u1", "Char": "u1", "Int8": "i1", "Int16": "i2",
    "UInt16": "u2", "Int32": "i4", "UInt32": "u4", "Int64": "i8", "UInt64": "u8",
    "Float32": "f4", "Float64": "f8",
}  # fmt: skip
_TEXTS = {"String", "URL", "Url"}
_OTHERS = {"Structure", "Sequence", "Opaque"}
# What writers of DMR++ add to a variable, and what a file's own library keeps there.
_ADDED = {"origname", "fullnamepath"}
_NAME_LISTS = ("coordinates", "bounds", "grid_mapping", "ancillary_variables")

type Element = Any
"""An element of lxml, which has no type stubs."""


@dataclass(frozen=True, eq=False)
class DmrVariable:
    """One variable as its element describes it."""

    path: str
    """Full path, e.g. ``/grp/sst``."""
    element: Element
    """Its element, for what DMR++ adds."""
    dtype: np.dtype[Any] | None
    """Type of its numbers, little-endian; None for text."""
    dimensions: tuple[str, ...]
    """Names of its dimensions inside its group."""
    shape: tuple[int, ...]
    """Lengths of its dimensions."""
    attributes: Mapping[str, Any]
    """Attributes in the types that the document gives them."""


@dataclass(frozen=True, eq=False)
class DmrDocument:
    """All that one document describes."""

    root: Element
    """The ``Dataset``."""
    groups: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Path of each group, ``/`` for the root → attributes."""
    variables: dict[str, DmrVariable] = field(default_factory=dict)
    """By full path."""
    defects: dict[str, str] = field(default_factory=dict)
    """Path of a variable that cannot be described → why not."""


def read_dmr(body: bytes, where: str) -> DmrDocument:
    """The groups and variables in the text of a DMR or DMR++ document.

    Parameters
    ----------
    body
        The text.
    where
        Its address, for errors.

    Raises
    ------
    StoreError
        The text is no DMR, or an XML document that is not read for safety.

    **Reads:** nothing.
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        refuse_crowded_xml(body)
        root = etree.fromstring(body, parser)
    except StoreError as error:
        raise StoreError(f"{where} is not read: {error}") from None
    except etree.XMLSyntaxError as error:
        raise StoreError(f"{where} is not readable XML: {error.msg}.") from None
    if root.getroottree().docinfo.doctype:
        raise StoreError(f"{where} declares a document type, which is not read for safety.")
    if root.tag != f"{DAP}Dataset":
        raise StoreError(f"{where} is XML, but no DMR++: its root is {root.tag[:80]!r}.")
    return _Reader(root).document()


class _Reader:
    """Turns elements into values; names of flattened files are put back into their groups."""

    def __init__(self, root: Element) -> None:
        self._root = root
        self._sizes: dict[str, int] = {}
        self._enumerations: dict[str, Element] = {}
        self._restored: dict[str, str] = {}

    def document(self) -> DmrDocument:
        found = DmrDocument(self._root)
        for path, group in _groups(self._root, "/"):
            found.groups[path] = attributes_of(group)
            for dimension in group.findall(f"{DAP}Dimension"):
                own = _placed(path, dimension.get("name", ""))
                self._sizes[own] = _whole(dimension.get("size"))
            for enumeration in group.findall(f"{DAP}Enumeration"):
                self._enumerations[join(path, enumeration.get("name", ""))] = enumeration
        flat = len(found.groups) == 1
        self._restored = _restored_names(self._root) if flat else {}
        for path, group in _groups(self._root, "/"):
            for element in group:
                self._add(element, path, found)
        for path in [p for variable in found.variables for p in ancestors(group_of(variable))]:
            found.groups.setdefault(path, {})
        return found

    def _add(self, element: Element, group: str, found: DmrDocument) -> None:
        """Put the variable of an element into `found`, or why it is none."""
        kind = element.tag.removeprefix(DAP)
        if kind not in NUMBERS and kind not in _TEXTS and kind not in _OTHERS and kind != "Enum":
            return
        path = _placed(group, element.get("name", ""))
        path = self._restored.get(path, path)
        if kind in _OTHERS:
            found.defects[path] = f"it is of the type {kind}, which this service does not read"
        elif path in found.variables:
            del found.variables[path]
            found.defects[path] = "the DMR++ describes it twice"
        try:
            _refuse_odd_name(element)
            if path not in found.defects:
                found.variables[path] = self._variable(element, kind, path)
        except StoreError as error:
            found.defects[path] = str(error)

    def _variable(self, element: Element, kind: str, path: str) -> DmrVariable:
        attributes = {k: v for k, v in attributes_of(element).items() if k not in _ADDED}
        if kind == "Enum":
            kind, flags = self._flags(element, path)
            attributes = {**flags, **attributes}
        names, shape = self._dimensions(element, path)
        code = NUMBERS.get(kind)
        if self._restored:
            attributes |= self._with_restored_names(attributes)
        dtype = np.dtype(code).newbyteorder("<") if code else None
        return DmrVariable(path, element, dtype, names, shape, attributes)

    def _with_restored_names(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        changed = {}
        for name in _NAME_LISTS:
            if isinstance(attributes.get(name), str):
                words = [self._restored.get(f"/{w}", w) for w in attributes[name].split()]
                changed[name] = " ".join(words)
        return changed

    def _flags(self, element: Element, path: str) -> tuple[str, dict[str, Any]]:
        """The base type of an enumeration and its values as CF flags."""
        named = element.get("enum", "")
        groups = ["/"] if named.startswith("/") else list(ancestors(group_of(path)))
        found = [self._enumerations.get(join(group, named.lstrip("/"))) for group in groups]
        definition = next((own for own in found if own is not None), None)
        kind = "" if definition is None else definition.get("basetype", "")
        if definition is None or kind not in NUMBERS or kind.startswith("Float"):
            raise StoreError(f"its enumeration {named!r} is not described")
        pairs = [
            (own.get("name", ""), _whole(own.get("value"), signed=True))
            for own in definition.findall(f"{DAP}EnumConst")
        ]
        try:
            values = np.array([value for _, value in pairs], NUMBERS[kind])
        except OverflowError:
            raise StoreError(f"a value of its enumeration does not fit into {kind}") from None
        meanings = " ".join(name.replace(" ", "_") for name, _ in pairs)
        return kind, {"flag_values": values, "flag_meanings": meanings} if pairs else {}

    def _dimensions(self, element: Element, path: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
        names, shape = [], []
        for dimension in element.findall(f"{DAP}Dim"):
            named = dimension.get("name")
            if named is None:
                size = _whole(dimension.get("size"))
                name = f"phony_dim_{size}"
                while name in names:
                    name += "_"
            else:
                name, size = self._shared(named, path)
            names.append(name)
            shape.append(size)
        if len(set(names)) < len(names):
            raise StoreError(f"its dimensions ({', '.join(names)}) are not of different names")
        return tuple(names), tuple(shape)

    def _shared(self, named: str, path: str) -> tuple[str, int]:
        """Name and length of a dimension that has a name of its own."""
        groups = list(ancestors(group_of(path)))
        candidates = [named] if named.startswith("/") else [join(g, named) for g in groups]
        written = next((own for own in candidates if own in self._sizes), None)
        if written is None:
            raise StoreError(f"its dimension {named} is not described")
        home = self._restored.get(written, written)
        short = name_of(home)
        nearest = next((join(g, short) for g in groups if join(g, short) in self._sizes), home)
        if group_of(home) in groups and (self._restored or nearest == home):
            return short, self._sizes[written]
        if group_of(home) in groups:
            raise StoreError(f"its dimension {named} is hidden by {nearest}")
        return home.strip("/").replace("/", "_"), self._sizes[written]


def _groups(element: Element, path: str) -> Iterator[tuple[str, Element]]:
    """All groups, parents first."""
    if path != "/":
        _refuse_odd_name(element)
    yield path, element
    for child in element.findall(f"{DAP}Group"):
        yield from _groups(child, join(path, child.get("name", "")))


def _placed(group: str, name: str) -> str:
    """The full path of `name`, which flattened documents give in full."""
    return name if name.startswith("/") else join(group, name)


def _refuse_odd_name(element: Element) -> None:
    """Raise for a name that cannot be part of a path."""
    name = str(element.get("name", ""))
    parts = name.removeprefix("/").split("/")
    if (len(parts) > 1 and not name.startswith("/")) or {"", ".", ".."} & set(parts):
        raise StoreError(f"the DMR++ gives it the name {name[:80]!r}")


def _restored_names(root: Element) -> dict[str, str]:
    """Flat path → full path, where a writer made one group of a file and noted the full names."""
    noted = {}
    for element in root:
        for attribute in element.findall(f"{DAP}Attribute"):
            if attribute.get("name") == "fullnamepath":
                full = "/" + str(_values(attribute, "String")).strip("/")
                noted[join("/", element.get("name", ""))] = full
    changed = {flat: full for flat, full in noted.items() if flat != full}
    return changed if len(set(noted.values())) == len(noted) else {}


def attributes_of(element: Element) -> dict[str, Any]:
    """The attributes of a group or variable; those in containers under joined names.

    What the program that made the DMR++ says of itself is left out. **Reads:** nothing.
    """
    found: dict[str, Any] = {}
    for attribute in element.findall(f"{DAP}Attribute"):
        name, kind = attribute.get("name", ""), attribute.get("type", "")
        if kind == "Container":
            if name != "build_dmrpp_metadata":
                inner = attributes_of(attribute)
                found |= {f"{name}_{key}": value for key, value in inner.items()}
        elif kind != "OtherXML":
            found[name] = _values(attribute, kind)
    return found


def _values(attribute: Element, kind: str) -> Any:
    texts = [own.text or own.get("value") or "" for own in attribute.findall(f"{DAP}Value")]
    code = NUMBERS.get(kind)
    if code is None:
        return texts[0] if len(texts) == 1 else texts
    try:
        numbers = [number(text, np.dtype(code)) for text in texts]
    except (ValueError, OverflowError):
        return texts[0] if len(texts) == 1 else texts
    return numbers[0] if len(numbers) == 1 else np.array(numbers, code)


def number(text: str, dtype: np.dtype[Any]) -> Any:
    """`text` as a scalar of `dtype`; ValueError or OverflowError if it is none. **Reads:** nothing.

    >>> number("-9999.", np.dtype("f4"))
    np.float32(-9999.0)
    """
    plain: Any = float(text) if dtype.kind == "f" else int(text)
    with np.errstate(over="raise"):
        try:
            return dtype.type(plain)
        except FloatingPointError:
            raise OverflowError(f"{text} does not fit into {dtype}") from None


def _whole(text: str | None, *, signed: bool = False) -> int:
    try:
        found = int(text or "")
    except ValueError:
        raise StoreError(f"The DMR++ has {text!r} where a whole number should be.") from None
    if not -(2**63) <= found < 2**63 or (found < 0 and not signed):
        raise StoreError(f"The DMR++ has {found} where a length should be.")
    return found
