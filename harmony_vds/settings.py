"""Everything an operator can set, read once from the environment.

`docs/settings.md` is written from this module, and a test checks it.
"""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from harmony_vds.errors import SettingsError
from harmony_vds.setting_values import as_origin, as_scheduler, as_size, as_token_host

PRODUCTION_CMR = "https://cmr.earthdata.nasa.gov"
UAT_CMR = "https://cmr.uat.earthdata.nasa.gov"
EARTHDATA_LOGIN = "https://urs.earthdata.nasa.gov"

type SpotCheck = Literal["off", "warn", "refuse"]
type CommaSeparated = Annotated[tuple[str, ...], NoDecode]
type TokenHosts = Annotated[tuple[Annotated[str, AfterValidator(as_token_host)], ...], NoDecode]
type Size = Annotated[ByteSize, BeforeValidator(as_size)]
type Most = Annotated[ByteSize, BeforeValidator(as_size), Field(gt=0)]
type Origin = Annotated[str, AfterValidator(as_origin)]


class Settings(BaseSettings):
    """The environment of one process, validated; immutable."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    cmr_endpoint: Origin = Field(
        default="",
        validation_alias="CMR_ENDPOINT",
        description="Root URL of CMR. Unset: UAT when `OAUTH_HOST` or `USER_AGENT` says so, "
        "otherwise production.",
    )
    oauth_host: str = Field(
        default=EARTHDATA_LOGIN,
        validation_alias="OAUTH_HOST",
        description="Root URL of Earthdata Login; Harmony sets it.",
    )
    user_agent: str = Field(
        default="",
        validation_alias="USER_AGENT",
        description="Harmony's user agent string; Harmony sets it.",
    )
    trusted_prefixes: CommaSeparated = Field(
        default=(),
        validation_alias="HARMONY_VDS_TRUSTED_PREFIXES",
        description="Comma-separated URL prefixes that the operator trusts beyond the shipped list "
        "and the collection's own record, e.g. `file:///data/,http://127.0.0.1:8080/`. Only these "
        "may be files, plain http or private addresses.",
    )
    rewrite_prefixes: CommaSeparated = Field(
        default=(),
        validation_alias="HARMONY_VDS_REWRITE_PREFIXES",
        description="Comma-separated pairs `from=to` of URL prefixes, each ending with a slash: "
        "what manifests and records place below the first is read below the second, e.g. "
        "`file:///home/me/data/=s3://bucket/data/`. The second must be trusted like any other "
        "place, and copies there must keep the dates of their files: icechunk snapshots refuse "
        "younger ones.",
    )
    token_hosts: TokenHosts = Field(
        default=(),
        validation_alias="HARMONY_VDS_TOKEN_HOSTS",
        description="Comma-separated host names, beyond Earthdata's and that of `CMR_ENDPOINT`, "
        "that may receive the user's token over https; or whole origins, e.g. "
        "`http://127.0.0.1:8080`, that may receive it as they stand.",
    )
    s3_endpoint_url: Origin = Field(
        default="",
        validation_alias="HARMONY_VDS_S3_ENDPOINT_URL",
        description="Where `s3://` URLs are read, for S3-compatible servers. Unset: AWS.",
    )
    s3: Literal["auto", "direct", "https"] = Field(
        default="auto",
        validation_alias="HARMONY_VDS_S3",
        description="How `s3://` addresses of protected buckets are read. `auto`: with temporary "
        "S3 credentials, which the user's token is exchanged for, and where S3 refuses them, as "
        "outside the archive's AWS region, over https; `direct`: never over https; `https`: only "
        "so where the https form is known.",
    )
    max_read_bytes: Most = Field(
        default=ByteSize(8 * 2**30),
        validation_alias="HARMONY_VDS_MAX_READ_BYTES",
        description="Most bytes one request may read from the archive; `8GiB` or a number.",
    )
    max_output_bytes: Most = Field(
        default=ByteSize(4 * 2**30),
        validation_alias="HARMONY_VDS_MAX_OUTPUT_BYTES",
        description="Most bytes one request may write, counted before compression.",
    )
    max_chunks: int = Field(
        default=4_000_000,
        gt=0,
        validation_alias="HARMONY_VDS_MAX_CHUNKS",
        description="Most chunks one request may touch.",
    )
    max_requests: int = Field(
        default=1_000_000,
        gt=0,
        validation_alias="HARMONY_VDS_MAX_REQUESTS",
        description="Most requests that one request may make to the archive, after neighbouring "
        "chunks are merged.",
    )
    max_decoded_bytes: Most = Field(
        default=ByteSize(2**40),
        validation_alias="HARMONY_VDS_MAX_DECODED_BYTES",
        description="Most bytes of chunks, once decoded, that one request may touch.",
    )
    max_memory_bytes: Most | None = Field(
        default=None,
        validation_alias="HARMONY_VDS_MAX_MEMORY_BYTES",
        description="Most bytes the process may hold, its code included. Unset: the limit of its "
        "control group (version 1 or 2), or the machine's memory.",
    )
    max_disk_bytes: Most | None = Field(
        default=None,
        validation_alias="HARMONY_VDS_MAX_DISK_BYTES",
        description="Most bytes of outputs on local disk at once. Unset: what is free there.",
    )
    upload_bucket: str = Field(
        default="",
        validation_alias="UPLOAD_BUCKET",
        description="Bucket of uploaded shapes; Harmony sets it.",
    )
    staging_bucket: str = Field(
        default="",
        validation_alias="STAGING_BUCKET",
        description="Bucket of outputs; Harmony sets it.",
    )
    artifact_bucket: str = Field(
        default="",
        validation_alias="ARTIFACT_BUCKET",
        description="Bucket of what passes between steps; Harmony sets it.",
    )
    shape_prefixes: CommaSeparated = Field(
        default=(),
        validation_alias="HARMONY_VDS_SHAPE_PREFIXES",
        description="Comma-separated `s3://` prefixes of uploaded shapes, which are read with the "
        "service's own role. Unset: `temp-user-uploads/` in the buckets that `UPLOAD_BUCKET`, "
        "`STAGING_BUCKET` and `ARTIFACT_BUCKET` name, where Harmony puts uploads.",
    )
    max_shape_bytes: Most = Field(
        default=ByteSize(50 * 2**20),
        validation_alias="HARMONY_VDS_MAX_SHAPE_BYTES",
        description="Most bytes of a shape.",
    )
    max_shape_vertices: int = Field(
        default=1_000_000,
        gt=0,
        validation_alias="HARMONY_VDS_MAX_SHAPE_VERTICES",
        description="Most positions in a shape.",
    )
    part_bytes: Most = Field(
        default=ByteSize(2 * 2**30),
        validation_alias="HARMONY_VDS_PART_BYTES",
        description="Bytes, before compression, above which an output is cut into parts along time "
        "or another dimension, one file each; not while the user waits for one file.",
    )
    part_seconds: float = Field(
        default=120.0,
        gt=0,
        allow_inf_nan=False,
        validation_alias="HARMONY_VDS_PART_SECONDS",
        description="Most seconds that a part may take in a slow place, where each has a work item "
        "of its own.",
    )
    max_parts: int = Field(
        default=1000,
        gt=0,
        validation_alias="HARMONY_VDS_MAX_PARTS",
        description="Most work items that one request may take where each part has its own; all "
        "other limits then hold for each of them.",
    )
    parts_service_id: str = Field(
        default="",
        validation_alias="HARMONY_VDS_PARTS_SERVICE_ID",
        description="The UMM-S id of the entry of `service.yml` that gives each part a work item "
        "of its own; refusals of what is too large for one name it.",
    )
    collections_file: str = Field(
        default="",
        validation_alias="HARMONY_VDS_COLLECTIONS_FILE",
        description="Path of a TOML file that names stores of collections, or denies collections, "
        "before any record is asked; see *Name a store yourself*.",
    )
    max_stores: int = Field(
        default=20,
        gt=0,
        validation_alias="HARMONY_VDS_MAX_STORES",
        description="Most virtual stores that one request may be answered from, where each "
        "collection, frame, tile or granule has its own.",
    )
    max_virtualized: int = Field(
        default=50,
        ge=0,
        validation_alias="HARMONY_VDS_MAX_VIRTUALIZED",
        description="Most selected granules that are described to answer a request for a "
        "collection without any virtual store; 0 turns that off.",
    )
    max_seconds: float = Field(
        default=270.0,
        gt=0,
        allow_inf_nan=False,
        validation_alias="HARMONY_VDS_MAX_SECONDS",
        description="Seconds after which the service stops itself; Harmony fails a work item at "
        "300 s and would run it again.",
    )
    reader: Literal["planned", "zarr"] = Field(
        default="planned",
        validation_alias="HARMONY_VDS_READER",
        description="How chunks are read. `planned`: merged ranges, many at once, decoded in "
        "threads; `zarr`: chunk by chunk through xarray and zarr, the plain path to compare with.",
    )
    dask: Annotated[str, AfterValidator(as_scheduler)] = Field(
        default="",
        validation_alias="HARMONY_VDS_DASK",
        description="Address of the scheduler of a running `distributed` cluster, whose workers "
        "then read, decode and compute: `tls://host:8786`, or `tcp://127.0.0.1:8786` on this "
        "machine. Unset: threads of this process.",
    )
    merge_gap_bytes: Size = Field(
        default=ByteSize(4096),
        validation_alias="HARMONY_VDS_MERGE_GAP_BYTES",
        description="Most unwanted bytes between two chunks of one file that the planned reader "
        "fetches together.",
    )
    stale_references: Literal["warn", "refuse"] = Field(
        default="warn",
        validation_alias="HARMONY_VDS_STALE_REFERENCES",
        description="What happens when a source file is newer than the kerchunk reference file "
        "that describes it: `warn` in the log, or `refuse`. icechunk snapshots always refuse.",
    )
    spot_check: SpotCheck = Field(
        default="warn",
        validation_alias="HARMONY_VDS_SPOT_CHECK",
        description="What happens where the store describes a variable otherwise than the first or "
        "last source file that it is read from: other type, packing, fill value, chunks, filters, "
        "units or epoch. `warn` in the log, `refuse`, or `off`: no header is read, which saves one "
        "to six requests for each of the two files.",
    )

    zarr: Literal["folder", "zip"] = Field(
        default="folder",
        validation_alias="HARMONY_VDS_ZARR",
        description="How Zarr is delivered. `folder`: a prefix of objects, whose link stays "
        "`s3://`; `zip`: one file `.zarr.zip`, which can be downloaded.",
    )
    chunks_for: Literal["store", "map", "series"] = Field(
        default="store",
        validation_alias="HARMONY_VDS_CHUNKS_FOR",
        description="What the chunks of outputs suit. `store`: as in the archive, which is the "
        "fastest to write; `map`: whole maps of one time; `series`: long series at one place.",
    )

    beside: Literal["none", "stac", "browse", "both"] = Field(
        default="none",
        validation_alias="HARMONY_VDS_BESIDE",
        description="What is put beside each output, and linked by Harmony. `stac`: its STAC item "
        "in full, `….stac.json`; `browse`: a picture of its first layer, `….browse.png`; `both`. "
        "Nothing where the user waits for one file.",
    )
    csv_layout: Literal["tidy", "giovanni"] = Field(
        default="tidy",
        validation_alias="HARMONY_VDS_CSV_LAYOUT",
        description="How CSV is laid out. `tidy`: one row for each cell, one column for each "
        "variable; `giovanni`: a time series at one place or of an area as Giovanni's services "
        "write it, with lines about the request before it, and everything else tidy.",
    )
    max_rows: int = Field(
        default=20_000_000,
        gt=0,
        validation_alias="HARMONY_VDS_MAX_ROWS",
        description="Most rows of one table (CSV, Parquet).",
    )

    cache_dir: str = Field(
        default="",
        validation_alias="HARMONY_VDS_CACHE_DIR",
        description="Folder in which manifests and coordinates are kept between requests, so that "
        "opening a store again takes no time. It may be shared by processes, emptied at any time, "
        "read-only or absent. Unset: nothing is kept.",
    )
    cache_bytes: Size = Field(
        default=ByteSize(4 * 2**30),
        validation_alias="HARMONY_VDS_CACHE_BYTES",
        description="Most bytes kept in `HARMONY_VDS_CACHE_DIR`; what was used longest ago goes "
        "first.",
    )

    @field_validator(
        "trusted_prefixes", "rewrite_prefixes", "token_hosts", "shape_prefixes", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @property
    def upload_prefixes(self) -> tuple[str, ...]:
        """Where uploaded shapes are, as ``s3`` URLs. **Reads:** nothing."""
        buckets = (self.upload_bucket, self.staging_bucket, self.artifact_bucket)
        derived = tuple(f"s3://{own}/temp-user-uploads/" for own in buckets if own)
        return self.shape_prefixes or derived

    @property
    def cmr_root(self) -> str:
        """The CMR to ask, without a trailing slash.

        Chains without query-cmr carry no CMR address, so it is derived from what Harmony puts into
        the worker's environment. **Reads:** nothing.
        """
        if self.cmr_endpoint:
            return self.cmr_endpoint.rstrip("/")
        uat = "//uat." in self.oauth_host or "harmony-uat" in self.user_agent
        return UAT_CMR if uat else PRODUCTION_CMR


def settings_from_environment() -> Settings:
    """The process's settings.

    Raises
    ------
    SettingsError
        A variable holds something unusable; the text names it and what was expected.

    **Reads:** nothing.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = first["loc"][0] if first["loc"] else "a setting"
        raise SettingsError(
            f"The setting {name} is not usable: {first['msg']}. "
            "Correct the service's environment; docs/settings.md lists every setting."
        ) from None
