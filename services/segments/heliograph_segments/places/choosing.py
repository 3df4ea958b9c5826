"""Which place a job means, and whether the settings let it go there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heliograph_segments.places.buckets import S3, BucketDestination, BucketSource, bucket_and_key
from heliograph_segments.places.folders import FolderDestination, FolderSource, below
from heliograph_segments.places.objects import Destination, Source
from heliograph_segments.places.web import WebSource

_IMPORT_ROOT, _IMPORT_BUCKETS = "HELIOGRAPH_SEGMENTS_IMPORT_ROOT", "HELIOGRAPH_SEGMENTS_IMPORT_BUCKETS"
_EXPORT_ROOT, _EXPORT_BUCKETS = "HELIOGRAPH_SEGMENTS_EXPORT_ROOT", "HELIOGRAPH_SEGMENTS_EXPORT_BUCKETS"


@dataclass(frozen=True)
class Places:
    """Where jobs may go. A part that is not set is switched off."""

    import_root: Path | None
    import_hosts: Sequence[str]
    import_buckets: Sequence[str]
    most_bytes: int
    export_root: Path | None
    export_buckets: Sequence[str]
    s3: S3

    def source(self, name: str) -> Source:
        """Return what an import reads; nothing is looked at yet.

        Raises:
            NotAllowed: imports may not read there.
        """
        if name.startswith("https:"):
            return WebSource(name, self.import_hosts, self.most_bytes)
        if name.startswith("s3:"):
            bucket, key = bucket_and_key(name, self.import_buckets, _IMPORT_BUCKETS)
            return BucketSource(self.s3, bucket, key, self.most_bytes)
        path = below(self.import_root, name, _IMPORT_ROOT)
        return FolderSource(self.import_root or path, path)

    def destination(self, name: str) -> Destination:
        """Return where an export writes.

        Raises:
            NotAllowed: exports may not write there.
        """
        if name.startswith("s3:"):
            return BucketDestination(self.s3, *bucket_and_key(name, self.export_buckets, _EXPORT_BUCKETS))
        return FolderDestination(below(self.export_root, name, _EXPORT_ROOT))
