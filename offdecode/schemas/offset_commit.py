"""Offset commits: where a group goes on reading a partition (key types 0 and 1)."""

from __future__ import annotations

from dataclasses import replace

from offdecode.schemas.layout import EncodedText, Field, Layout, RecordType
from offdecode.schemas.streams_protocol import COMMIT_TIMES_MS, STREAMS_COMMIT_METADATA
from offdecode.schemas.types import Int32, Int64, String, TimestampMs, UncheckedTimestampMs, Uuid

ROW_TYPE = "offset_commit"

KEY = Layout("OffsetCommitKey", versions="0", flexible="none", fields=(
    Field("group", String, "0+", "the consumer group"),
    Field("topic", String, "0+", "the topic whose position is committed"),
    Field("partition", Int32, "0+", "the topic's partition"),
))

VALUE = Layout("OffsetCommitValue", versions="0-4", flexible="4+", fields=(
    Field("offset", Int64, "0+", "next log offset that the group will read"),
    Field("leader_epoch", Int32, "3+", "leader epoch of the last consumed record (KIP-320); -1 = not named"),
    Field("metadata", String, "0+", "free text from the client", encoded=EncodedText(
        "streams_metadata", STREAMS_COMMIT_METADATA, {"timestamp": COMMIT_TIMES_MS},
        "what the text says where Kafka Streams wrote it",
    )),
    Field("commit_timestamp", TimestampMs, "0+",
          "broker time of the commit; the client's own in OffsetCommit requests of version 1"),
    Field("expire_timestamp", UncheckedTimestampMs, "1",
          "when the offset expires; written while the client asked for a retention time (KIP-211)"),
    Field("topic_id", Uuid, "4+", "id of the topic at the time of the commit", tag=0),
), doc="""A committed offset. Written by the coordinator for every partition of every OffsetCommit or
TxnOffsetCommit request, by an admin's reset too. A tombstone ends it: expiry, deletion of the group, the
offset or the topic. Version 1 up to Kafka 2.0 and wherever the client asks for a retention time, 2 at the
2.1 intermediate protocol, 3 from 2.1 on, 4 from 4.1 on.""")

LEGACY_VALUE = Layout("LegacyOffsetCommitValue", versions="0", flexible="none", fields=tuple(
    replace(field, versions="0") for field in VALUE.fields if field.exists_in(0)
), doc="""A committed offset as brokers up to 0.8.2 wrote it. Its key's bytes differ from those of key type 1,
so cleaning never drops it in favour of a newer one.""")

RECORD_TYPES = (
    RecordType(0, ROW_TYPE, KEY, (LEGACY_VALUE,)),
    RecordType(1, ROW_TYPE, KEY, (VALUE,)),
)
