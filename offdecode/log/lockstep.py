"""Batches of format 2 to the positions and fields of their records: all batches of a chunk in lockstep."""

from __future__ import annotations

import numpy as np

from offdecode.byte_vectors import Buffer, unaligned
from offdecode.log.doubtful import hop_records
from offdecode.model import Mask, Vector, within

_FEW_BATCHES = 32  # fewer than these are walked one by one: a step of all costs more


def _advances() -> Vector:
    """By a record's first two bytes, as one number: how far the next record is, where these bytes tell; else 0."""
    first, second = np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2).astype(np.int64).T
    short = first < 0x80
    zigzag = np.where(short, first, first & 0x7F | second << 7)
    told = (short | (second < 0x80)) & (zigzag & 1 == 0)  # an odd one is a negative length
    return np.where(told, np.where(short, 1, 2) + (zigzag >> 1), 0)


_ADVANCE = _advances()


def read_varints(buffer: Buffer, position: Vector, most_bytes: int) -> tuple[Vector, Vector, Mask]:
    """Zigzag varints at each position: their values, the positions behind them, and which have no end."""
    last = len(buffer) - 1
    byte = buffer[np.minimum(position, last)]
    value = (byte & 0x7F).astype(np.int64)
    after = position + 1
    bad = np.zeros(len(position), np.bool_)
    more = np.flatnonzero(byte & 0x80)
    shift = 7
    while more.size:
        if shift >= most_bytes * 7:
            bad[more] = True
            break
        byte = buffer[np.minimum(after[more], last)]
        value[more] |= (byte & 0x7F).astype(np.int64) << shift
        after[more] += 1
        more = more[(byte & 0x80) != 0]
        shift += 7
    if most_bytes == 5:
        value &= 0xFFFFFFFF  # as Kafka drops what is beyond (ByteUtils.readUnsignedVarint)
    return ((value >> 1) & np.int64(0x7FFFFFFFFFFFFFFF)) ^ -(value & 1), after, bad


def walk_lockstep(buffer: Buffer, start: Vector, end: Vector, count: Vector) -> tuple[Vector, Mask, Vector]:
    """Positions of all records (batch by batch), which batches are not sure, and where each batch's records end."""
    total = int(count.sum())
    positions = np.empty(total, np.int64)
    taken = np.empty(total, np.int64)  # positions in the order of the steps
    doubtful = np.zeros(len(count), np.bool_)
    finish = start.copy()
    if not total:
        return positions, doubtful, finish
    order = np.argsort(-count, kind="stable")
    first_slot = (np.cumsum(count) - count)[order]
    ascending = count[order][::-1]
    at, limit = start[order], end[order]
    words = unaligned(buffer, np.uint16)
    done = 0
    lives = len(count) - np.searchsorted(ascending, np.arange(int(count[order[0]])), side="right")
    for k, live in enumerate(lives.tolist()):
        if live < len(at):
            finish[order[live : len(at)]] = at[live:]
            at, limit = at[:live], limit[:live]
        if live < _FEW_BATCHES:
            finish[order[:live]] = at
            for index, slot in zip(order[:live].tolist(), (first_slot[:live] + k).tolist(), strict=True):
                left = 0 if doubtful[index] else int(count[index]) - k
                found, finish[index] = hop_records(buffer.data, int(finish[index]), int(end[index]), left)
                positions[slot : slot + len(found)] = found
                doubtful[index] |= len(found) < left
            lives = lives[:k]
            break
        taken[done : done + live] = at
        done += live
        advance = _ADVANCE.take(words[at])
        if np.count_nonzero(advance) == live:
            at += advance
            np.minimum(at, limit, out=at)  # a record that goes beyond its batch is seen as its fields are read
            continue
        length, after, bad = read_varints(buffer, at, 5)
        at = after + length
        bad |= (length < 0) | (at > limit)
        if bad.any():
            doubtful[order[np.flatnonzero(bad)]] = True
            at = np.where(bad, limit, at)
    else:
        finish[order[: len(at)]] = at
    step = np.repeat(np.arange(len(lives)), lives)
    batch = within(lives)
    positions[first_slot[batch] + step] = taken[:done]
    return positions, doubtful, finish


def read_fields(buffer: Buffer, position: Vector, end: Vector) -> tuple[tuple[Vector, ...], Mask]:
    """The fields of each record; a record that is not plain and exact is marked bad."""
    length, at, bad = read_varints(buffer, position, 5)
    record_end = at + length
    timestamp_delta, at, wrong = read_varints(buffer, at + 1, 10)
    bad |= wrong
    offset_delta, at, wrong = read_varints(buffer, at, 5)
    bad |= wrong
    key_length, key_position, wrong = read_varints(buffer, at, 5)
    bad |= wrong | (key_length < -1) | (key_length > record_end - key_position)
    at = np.minimum(key_position + np.maximum(key_length, 0), end)
    value_length, value_position, wrong = read_varints(buffer, at, 5)
    bad |= wrong | (value_length < -1) | (value_length > record_end - value_position)
    at = np.minimum(value_position + np.maximum(value_length, 0), end)
    no_headers = buffer[np.minimum(at, len(buffer) - 1)] == 0
    bad |= ~no_headers | (at + 1 != record_end) | (record_end > end)
    return (timestamp_delta, offset_delta, key_position, key_length, value_position, value_length), bad
