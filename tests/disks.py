"""Disks of several volumes around file systems: partition tables and logical volumes, made by hand."""

from __future__ import annotations

import struct
import uuid
import zlib

SECTOR_BYTES = 512
START_SECTOR = 2048
_LINUX = 0x83


def padded(data: bytes, size: int) -> bytes:
    return data + bytes(-len(data) % size)


def mbr(*volumes: bytes) -> bytes:
    """A disk with a DOS partition table (the classical generic MBR: entries from byte 446 on, 55 AA at the end)."""
    table, body = b"", b""
    for volume in volumes:
        first = START_SECTOR + len(body) // SECTOR_BYTES
        volume = padded(volume, SECTOR_BYTES)
        table += struct.pack("<B3sB3sII", 0, bytes(3), _LINUX, bytes(3), first, len(volume) // SECTOR_BYTES)
        body += volume
    boot = bytes(446) + table.ljust(64, b"\0") + b"\x55\xaa"
    return boot.ljust(START_SECTOR * SECTOR_BYTES, b"\0") + body


def gpt(*volumes: bytes) -> bytes:
    """A disk with a GUID partition table (UEFI 2.10, 5.3), behind its protective MBR."""
    entries, body = b"", b""
    for number, volume in enumerate(volumes):
        first = START_SECTOR + len(body) // SECTOR_BYTES
        volume = padded(volume, SECTOR_BYTES)
        last = first + len(volume) // SECTOR_BYTES - 1
        kind = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le
        entries += struct.pack("<16s16sQQQ72s", kind, uuid.UUID(int=number + 1).bytes_le, first, last, 0, b"")
        body += volume
    entries = entries.ljust(128 * 128, b"\0")
    end = START_SECTOR + len(body) // SECTOR_BYTES
    head = struct.pack(
        "<8sIIIIQQQQ16sQIII", b"EFI PART", 1 << 16, 92, 0, 0, 1, end + 33, 34, end, uuid.UUID(int=9).bytes_le, 2, 128,
        128, zlib.crc32(entries),
    )  # fmt: skip
    head = head[:16] + struct.pack("<I", zlib.crc32(head)) + head[20:]
    protective = bytes(446) + struct.pack("<B3sB3sII", 0, bytes(3), 0xEE, bytes(3), 1, end + 33)
    start = protective.ljust(510, b"\0") + b"\x55\xaa" + head.ljust(SECTOR_BYTES, b"\0") + entries
    return start.ljust(START_SECTOR * SECTOR_BYTES, b"\0") + body + bytes(33 * SECTOR_BYTES)


_EXTENT_SECTORS = 8192


def lvm(*volumes: bytes) -> bytes:
    """A physical volume of LVM2 with a logical volume for each, which lie one after the other."""
    extent = _EXTENT_SECTORS * SECTOR_BYTES
    sizes = [len(padded(volume, extent)) // extent for volume in volumes]
    logical = "".join(
        f'lv{number} {{\nid = "lv{number}"\nstatus = ["READ", "WRITE", "VISIBLE"]\nflags = []\nsegment_count = 1\n'
        f'segment1 {{\nstart_extent = 0\nextent_count = {size}\ntype = "striped"\nstripe_count = 1\n'
        f'stripes = [\n"pv0", {sum(sizes[:number])}\n]\n}}\n}}\n'
        for number, size in enumerate(sizes)
    )
    text = (
        f'vg0 {{\nid = "vg"\nseqno = 1\nformat = "lvm2"\nstatus = ["RESIZEABLE", "READ", "WRITE"]\nflags = []\n'
        f"extent_size = {_EXTENT_SECTORS}\nmax_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n"
        f'physical_volumes {{\npv0 {{\nid = "{"p" * 6}-{"v" * 4}-0000-0000-0000-0000-000000"\ndevice = "/dev/sda"\n'
        f'status = ["ALLOCATABLE"]\nflags = []\ndev_size = {(sum(sizes) + 1) * _EXTENT_SECTORS}\n'
        f"pe_start = {START_SECTOR}\npe_count = {sum(sizes)}\n}}\n}}\n"
        f'logical_volumes {{\n{logical}}}\n}}\ncontents = "Text Format Volume Group"\nversion = 1\n'
        'description = ""\ncreation_host = "here"\ncreation_time = 1\n\0'
    ).encode()
    data_start = START_SECTOR * SECTOR_BYTES
    name = b"p" * 6 + b"v" * 4 + b"0" * 22
    label = struct.pack("<8sQII8s", b"LABELONE", 1, 0, 32, b"LVM2 001")
    areas = struct.pack("<QQQQ", data_start, 0, 0, 0) + struct.pack("<QQQQ", 4096, data_start - 4096, 0, 0)
    header = label + struct.pack("<32sQ", name, (sum(sizes) + 1) * extent) + areas
    area = struct.pack("<I16sIQQ", 0, b" LVM2 x[5A%r0N*>", 1, 4096, data_start - 4096)
    area += struct.pack("<QQII", 512, len(text), zlib.crc32(text), 0) + bytes(24)
    start = bytes(SECTOR_BYTES) + header.ljust(4096 - SECTOR_BYTES, b"\0") + area.ljust(512, b"\0") + text
    return start.ljust(data_start, b"\0") + b"".join(padded(volume, extent) for volume in volumes)
