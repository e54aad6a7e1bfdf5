"""Records of `__cluster_metadata`, the KRaft controllers' log, that tell of topics and settings.

A record's value is a frame (org.apache.kafka.server.common.serialization.AbstractApiMessageSerde): frame version, key
of the record type and its version as unsigned varints, then the record. Definitions of kafka-metadata.
"""

from __future__ import annotations

from offdecode.schemas.layout import Field, Layout
from offdecode.schemas.types import Int8, String, Uuid

TOPIC = "__cluster_metadata"
FRAME_VERSION = 1

TOPIC_RECORD = Layout("TopicRecord", versions="0", flexible="0+", fields=(
    Field("name", String, "0+", "the topic"),
    Field("topic_id", Uuid, "0+", "its id"),
))
CONFIG_RECORD = Layout("ConfigRecord", versions="0", flexible="0+", fields=(
    Field("resource_type", Int8, "0+", "what it is a setting of: see ConfigResource.Type"),
    Field("resource_name", String, "0+", "which of these; of a broker its id, empty for all"),
    Field("name", String, "0+", "the setting"),
    Field("value", String, "0+", "its value; null = it is no longer set", nullable="0+"),
))
REMOVE_TOPIC_RECORD = Layout("RemoveTopicRecord", versions="0", flexible="0+", fields=(
    Field("topic_id", Uuid, "0+", "the topic that was deleted"),
))

# By the key of the record type, in one byte of a varint.
RECORDS = {2: TOPIC_RECORD, 4: CONFIG_RECORD, 9: REMOVE_TOPIC_RECORD}
TOPIC_SETTING, BROKER_SETTING = 2, 4  # org.apache.kafka.common.config.ConfigResource.Type
