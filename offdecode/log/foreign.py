"""Segments of other brokers, told by their headers."""

from __future__ import annotations

import struct

from offdecode.log.checksum import crc32c

# Redpanda's model::record_batch_header, little-endian: header CRC, size, base offset, type, ...
_REDPANDA_HEADER_BYTES = 61


def redpanda_header(head: bytes) -> bool:
    """Whether bytes are the header of a Redpanda batch: its own CRC-32C over the header is right."""
    if len(head) < _REDPANDA_HEADER_BYTES:
        return False
    checksum, size = struct.unpack_from("<Ii", head)
    return bool(size >= _REDPANDA_HEADER_BYTES and crc32c(head[4:_REDPANDA_HEADER_BYTES]) == checksum)
