"""offdecode: Kafka's `__consumer_offsets` log as a history of commits and generations."""

from __future__ import annotations

__version__ = "0.1.0"
