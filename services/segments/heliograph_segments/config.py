"""Settings of the segments service; read from `HELIOGRAPH_SEGMENTS_…`, else `HELIOGRAPH_…`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from heliograph_kit.settings import ServiceSettings


class SegmentsSettings(ServiceSettings):
    """What the segments service can be told."""

    service: ClassVar[str] = "segments"

    import_root: Path | None = Field(
        default=None, description="absolute path of the folder that imports may read; without it no file is imported"
    )
    import_hosts: list[str] = Field(
        default=[],
        description="hosts whose https: objects imports may read, such as files.example.com, *.example.com or "
        "files.example.com:8443; without one none is read",
    )
    import_buckets: list[str] = Field(
        default=[],
        description="buckets whose objects imports may read, as bucket or bucket/prefix; without one none is read. "
        "Credentials come as AWS clients take them (AWS_ACCESS_KEY_ID, a profile, the role of the pod)",
    )
    import_lease_seconds: float = Field(
        default=10, ge=0.2, le=600, description="how long an import stands still when its worker dies, seconds"
    )
    import_poll_seconds: float = Field(
        default=0.5, ge=0.05, le=60, description="how often idle workers look for new imports, seconds"
    )
    import_piece_bytes: int = Field(
        default=1024 * 1024,
        ge=1024,
        le=16 * 1024 * 1024,
        description="size of the pieces of a file that are written in one transaction, bytes",
    )
    import_unpacked_bytes: int = Field(
        default=16 * 1024**3,
        ge=1024,
        description="how large an object of an import may be that is unpacked or comes from afar, bytes; it takes so much "
        "of the temporary folder",
    )
    import_active_jobs: int = Field(
        default=10, ge=1, le=1000, description="how many unfinished imports a project may have"
    )

    index_folder: Path | None = Field(
        default=None,
        description="absolute path of the folder where indexes are kept between starts; without it they are built anew",
    )
    index_memory_bytes: int = Field(
        default=4 * 1024**3,
        ge=0,
        description="how much memory the indexes of all projects may take, bytes; 0 answers from the record only",
    )
    index_save_seconds: float = Field(
        default=300, ge=1, le=86_400, description="how often changed indexes are written to their folder, seconds"
    )
    audience_log_hours: float = Field(
        default=24, ge=1, le=24 * 30, description="how long changes are kept for indexes that are not in memory, hours"
    )
    snapshot_days: float = Field(
        default=0, ge=0, le=36_500, description="how long frozen audiences are kept, days; 0 keeps them for ever"
    )

    membership_change_seconds: float = Field(
        default=1,
        ge=0.05,
        le=3600,
        description="how often segments in use are looked at for changed endpoints, seconds",
    )
    membership_time_seconds: float = Field(
        default=60,
        ge=0.05,
        le=86_400,
        description="how often segments in use are looked at for what only time or events change, seconds",
    )
    membership_lease_seconds: float = Field(
        default=15, ge=0.2, le=600, description="how long a segment in use stands still when its worker dies, seconds"
    )

    user_endpoints: int = Field(
        default=15, ge=1, le=1000, description="how many endpoints a user may have; push devices give way to newer ones"
    )
    attribute_names: int = Field(
        default=250,
        ge=1,
        le=10_000,
        description="how many names the attributes, metrics and user attributes of a project may have together",
    )

    export_root: Path | None = Field(
        default=None, description="absolute path of the folder that exports may write; without it nothing is exported"
    )
    export_buckets: list[str] = Field(
        default=[],
        description="buckets that exports may write, as bucket or bucket/prefix; without one none is written",
    )
    export_piece_endpoints: int = Field(
        default=50_000, ge=1, le=1_000_000, description="how many endpoints an object of an export holds"
    )
    export_lease_seconds: float = Field(
        default=60, ge=0.2, le=600, description="how long an export stands still when its worker dies, seconds"
    )

    s3_endpoint: str | None = Field(
        default=None,
        pattern="^https?://",
        description="URL of a server that speaks the protocol of S3; without it AWS is meant, or what AWS_ENDPOINT_URL_S3 says",
    )
    s3_path_style: bool = Field(
        default=False,
        description="whether that server knows buckets as paths (host/bucket) instead of hosts (bucket.host)",
    )

    @field_validator("import_root", "export_root", "index_folder")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_absolute():
            raise ValueError("must be an absolute path")
        return value
