"""Images to a directory of segments, with a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from offdecode.carving.carve import Meter, Report
from offdecode.carving.carve import carve as look_through
from offdecode.carving.writing import check_target, write
from offdecode.options import CarveOptions


def carve(
    paths: Sequence[Path], directory: Path, asked: CarveOptions, topic: str, report: Report, meter: Meter
) -> dict[str, Any]:
    """Carve images; the summary, which is the manifest's first line.

    Raises SourceError where an image cannot be opened, or none holds a batch of the offsets topic; UsageError where
    the directory cannot be written.
    """
    check_target(directory)
    return write(look_through(paths, asked.topic_partitions, report, meter), directory, topic)
