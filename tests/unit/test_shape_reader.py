"""Where shapes may be, and what reads them: for uploads the service's role, no user's token."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from harmony_service_lib.util import config
from invocation import CANARY, shape_file
from servers import Server, bucket_of, file_server, serve

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.gateway import Access
from harmony_vds.errors import (
    ForbiddenError,
    RequestError,
    SettingsError,
    UntrustedError,
    UpstreamError,
    VdsError,
)
from harmony_vds.settings import Settings
from harmony_vds.shapes.reader import ShapeReader
from harmony_vds.uploads import upload_reader

SHAPE = json.dumps({"type": "Point", "coordinates": [10, 20]})
UPLOADS = "shape-uploads"


@pytest.fixture(scope="module")
def uploaded(s3: str) -> str:
    client = bucket_of(s3, UPLOADS)
    for key in ("temp-user-uploads/abc", "private/abc", "temp-user-uploads-of-others/abc"):
        client.put_object(Bucket=UPLOADS, Key=key, Body=SHAPE.encode())
    return f"s3://{UPLOADS}/temp-user-uploads/abc"


@pytest.fixture
def role(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own role, as boto3 finds it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")


type Reader = Callable[..., ShapeReader]


@pytest.fixture
def reader() -> Iterator[Reader]:
    """Readers by settings; `uploads` are out of reach on the command line."""
    with contextlib.ExitStack() as closing:

        def made(*, uploads: bool = True, **settings: object) -> ShapeReader:
            own = Settings.model_validate({"upload_bucket": UPLOADS, **settings})
            access = closing.enter_context(Access.of(own, Credentials.of_token(CANARY)))
            role = upload_reader(config(validate=False)) if uploads else None
            return ShapeReader.of(own, access, role)

        yield made


@pytest.fixture
def web_folder(tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    with file_server(tmp_path) as server:
        yield server, tmp_path


def test_shape_in_the_message_is_read_as_it_stands(reader: Reader) -> None:
    assert reader().read(f"  {SHAPE}").vertices == 1


def test_upload_is_read_with_the_services_own_role(
    reader: Reader, uploaded: str, role: None
) -> None:
    assert reader().read(uploaded).vertices == 1


@pytest.mark.parametrize("setting", ["upload_bucket", "staging_bucket", "artifact_bucket"])
def test_uploads_are_looked_for_in_each_of_harmonys_buckets(
    reader: Reader, setting: str, uploaded: str, role: None
) -> None:
    own = reader(**{"upload_bucket": "", setting: UPLOADS})
    assert own.read(uploaded).vertices == 1


def test_prefixes_of_the_operator_take_the_place_of_harmonys(
    reader: Reader, uploaded: str, role: None
) -> None:
    own = reader(shape_prefixes=f"s3://{UPLOADS}/private/")
    assert own.read(f"s3://{UPLOADS}/private/abc").vertices == 1
    with pytest.raises(UntrustedError, match="HARMONY_VDS_SHAPE_PREFIXES"):
        own.read(uploaded)


@pytest.mark.parametrize(
    "url",
    [f"s3://{UPLOADS}/private/abc", f"s3://{UPLOADS}/temp-user-uploads-of-others/abc",
     "s3://another/temp-user-uploads/abc", f"s3://{UPLOADS}/temp-user-uploads/../private/abc",
     f"s3://{UPLOADS}/temp-user-uploads/%2e%2e/private/abc", "s3://podaac-ops-cumulus-protected/x",
     "file:///etc/hostname", "file:///tmp/other.json", "file:///tmp/shapefile.json/../x",
     "http://169.254.169.254/latest/meta-data", "https://127.0.0.1/x", "https://example.com/x",
     "ftp://example.com/x", "/tmp/shapefile.json", "s3:/x"],
)  # fmt: skip
def test_shape_elsewhere_is_not_read(reader: Reader, url: str, uploaded: str, role: None) -> None:
    with pytest.raises(UntrustedError):
        reader().read(url)


def test_upload_on_the_command_line_is_not_read(reader: Reader, uploaded: str, role: None) -> None:
    with pytest.raises(UntrustedError, match="HARMONY_VDS_SHAPE_PREFIXES"):
        reader(uploads=False).read(uploaded)


def test_shape_that_harmony_handed_over_is_read_and_a_link_in_its_place_is_not(
    reader: Reader,
    tmp_path: Path,
) -> None:
    with shape_file(SHAPE):
        assert reader().read("file:///tmp/shapefile.json").vertices == 1
        (tmp_path / "secret.json").write_text(SHAPE)
        Path("/tmp/shapefile.json").unlink()
        Path("/tmp/shapefile.json").symlink_to(tmp_path / "secret.json")
        with pytest.raises(UntrustedError):
            reader().read("file:///tmp/shapefile.json")


def test_handed_over_shape_that_is_not_there_is_told(reader: Reader) -> None:
    with shape_file(SHAPE):
        Path("/tmp/shapefile.json").unlink()
        with pytest.raises(RequestError, match=r"The shape is gone: .*shapefile.json"):
            reader().read("file:///tmp/shapefile.json")
        Path("/tmp/shapefile.json").write_text("")


def test_operators_places_are_read_without_the_users_token(
    reader: Reader,
    web_folder: tuple[Server, Path],
) -> None:
    server, folder = web_folder
    (folder / "own.json").write_text(SHAPE)
    own = reader(trusted_prefixes=f"{server.url}/,{folder.as_uri()}/")
    assert own.read(f"{server.url}/own.json").vertices == 1
    assert own.read((folder / "own.json").as_uri()).vertices == 1
    assert all("Authorization" not in asked.headers for asked in server.asked)


def test_shape_longer_than_allowed_is_refused_wherever_it_is(
    reader: Reader, uploaded: str, role: None, web_folder: tuple[Server, Path]
) -> None:
    server, folder = web_folder
    (folder / "own.json").write_text(SHAPE)
    own = reader(
        max_shape_bytes=len(SHAPE) - 1, trusted_prefixes=f"{server.url}/,{folder.as_uri()}/"
    )
    for place in (uploaded, f"{server.url}/own.json", (folder / "own.json").as_uri(), SHAPE):
        with pytest.raises(RequestError, match="HARMONY_VDS_MAX_SHAPE_BYTES"):
            own.read(place)
    assert reader(max_shape_bytes=len(SHAPE)).read(uploaded).vertices == 1


@pytest.mark.parametrize("key", ["temp-user-uploads/none", "temp-user-uploads/"])
def test_upload_that_is_gone_is_told(reader: Reader, key: str, uploaded: str, role: None) -> None:
    with pytest.raises(RequestError, match="gone"):
        reader().read(f"s3://{UPLOADS}/{key}")


def test_trouble_at_the_bucket_may_pass(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with serve(answer) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        with pytest.raises(UpstreamError, match="cannot be read"):
            reader().read(f"s3://{UPLOADS}/temp-user-uploads/abc")
        assert all(CANARY not in str(asked.headers) for asked in server.asked)


@pytest.mark.parametrize("status, group", [(404, RequestError), (403, ForbiddenError)])
def test_refusals_of_a_web_server_are_told(
    reader: Reader, status: int, group: type[VdsError]
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    with serve(answer) as server, pytest.raises(group):
        reader(trusted_prefixes=f"{server.url}/").read(f"{server.url}/own.json")


def test_prefixes_that_are_no_buckets_are_refused(reader: Reader) -> None:
    for own in ("https://example.com/", "nonsense"):
        with pytest.raises(SettingsError, match="HARMONY_VDS_SHAPE_PREFIXES"):
            reader(shape_prefixes=own)
