"""Media types in every spelling lead to one form, and each form has its writer."""

from importlib import import_module

import pytest

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.formats import CSV, FORMATS, NETCDF, PARQUET, ZARR, find_format, format_of
from harmony_vds.outputs.write import WRITERS


@pytest.mark.parametrize(
    ("spelling", "media_type"),
    [
        ("application/netcdf", NETCDF), ("application/x-netcdf4", NETCDF), ("*/*", NETCDF),
        ("NETCDF-4", NETCDF), ("", NETCDF), ("application/x-zarr", ZARR), ("ZARR", ZARR),
        (" Application/vnd+zarr ", ZARR), ("application/vnd.zarr; version=3", ZARR),
        ("CSV", CSV), ("text/csv", CSV), ("text/csv; charset=utf-8", CSV), ("parquet", PARQUET),
    ],
)  # fmt: skip
def test_spellings_that_reach_services_are_understood(spelling: str, media_type: str) -> None:
    assert format_of(spelling).media_type == media_type


@pytest.mark.parametrize(
    "other", ["application/x-netcdf4;profile=opendap_url", "application/x-hdf", "image/gif", "net"]
)
def test_what_is_not_written_is_refused_with_what_is(other: str) -> None:
    assert find_format(other) is None
    with pytest.raises(UnsupportedError) as told:
        format_of(other)
    assert repr(other) in str(told.value)
    assert all(own.media_type in str(told.value) for own in FORMATS)


def test_every_form_has_a_writer_and_no_writer_lacks_its_form() -> None:
    assert {own.media_type for own in FORMATS} == set(WRITERS)
    for module, function in WRITERS.values():
        assert callable(getattr(import_module(module), function))


def test_no_two_forms_share_a_spelling_or_an_extension() -> None:
    spellings = [word for own in FORMATS for word in (own.media_type, *own.spellings)]
    assert len(spellings) == len(set(spellings))
    assert len({own.extension for own in FORMATS}) == len(FORMATS)
    assert FORMATS[0].media_type == NETCDF
