"""What images of disks begin with."""

from __future__ import annotations

import struct

IMAGE_HEAD_BYTES = 4096  # as many as tell an image

# What a file begins with that is an image in a form of its own. No segment does: its offset would be beyond 2^58.
FORMS = {b"QFI\xfb": "qcow2", b"KDMV": "vmdk", b"EVF\x09": "E01"}
EXT_MAGIC_AT = 1024 + 56
_MBR_ENTRIES = 446


def looks_like_image(head: bytes, size: int) -> bool:
    """Whether a file of a size begins as an image, a partition table, or a file system does.

    head: its first IMAGE_HEAD_BYTES.
    """
    head = head.ljust(IMAGE_HEAD_BYTES, b"\0")
    return (
        head[:4] in FORMS
        or head[:4] == b"XFSB"
        or head[512:520] == b"EFI PART"
        or is_lvm(head)
        or _is_ext(head, size)
        or _is_mbr(head, size)
    )


def is_lvm(head: bytes) -> bool:
    """Whether a disk is a physical volume of LVM."""
    return any(head[at : at + 8] == b"LABELONE" for at in range(0, 2048, 512))


def _is_ext(head: bytes, size: int) -> bool:
    inodes, blocks = struct.unpack_from("<II", head, 1024)
    block_log, cluster_log = struct.unpack_from("<II", head, 1024 + 24)
    magic = head[EXT_MAGIC_AT : EXT_MAGIC_AT + 2] == b"\x53\xef"
    return magic and block_log == cluster_log <= 6 and inodes > 10 and 0 < blocks << (10 + block_log) <= 4 * size


def _is_mbr(head: bytes, size: int) -> bool:
    entries = [struct.unpack_from("<B3xB3xII", head, _MBR_ENTRIES + 16 * number) for number in range(4)]
    there = [one for one in entries if one[1]]
    flags = all(flag in (0, 0x80) for flag, *_ in entries)
    return head[510:512] == b"\x55\xaa" and flags and any(0 < first * 512 < size for _, _, first, _ in there)
