"""What Kafka Streams writes under the classic protocol: user data of its members, metadata of its commits.

Source: of kafka-streams, SubscriptionInfo with SubscriptionInfoData.json, AssignmentInfo, ConsumerProtocolUtils,
StreamsAssignmentProtocolVersions, TopicPartitionMetadata and ProcessorMetadata. Version of Kafka by protocol
version: 1 = 0.10.0, 2 = 0.10.1, 3 = 2.0, 4 = 2.1, 5 = 2.4, 6 = 2.5, 8 = 2.6, 9 = 2.8, 10 = 3.0, 11 = 3.2.

The Streams of 0.10.2.2 to 1.1.1, told to speak version 1 while a group is upgraded, wrote version 2's last field
under that number: shape "1.1.1".
"""

from __future__ import annotations

from offdecode.schemas.layout import ArrayOf, Field, Layout, OpaqueFormat, Struct
from offdecode.schemas.types import Int8, Int32, Int64, JavaChars, JavaText, String, TextBytes, Uuid

_UPGRADE = "1.1.1"

_TOPIC_GROUP = Field("topic_group_id", Int32, "0+", "number of the subtopology")
_PARTITION = Field("partition", Int32, "0+", "partition")

# --- Subscriptions

_LATEST_SUPPORTED = Field("latest_supported_version", Int32, "3+", "highest protocol version that the member speaks")
_PROCESS_ID = Field("process_id", Uuid, "0+", "the process, which may have several members")
_END_POINT = Field("user_end_point", TextBytes, "2+", 'application.server, host and port; "" = none')
_TASK_IDS = ArrayOf(Struct("TaskId", (_TOPIC_GROUP, _PARTITION)))
_TASK_SETS = (
    Field("prev_tasks", _TASK_IDS, "0+", "tasks that the process ran before"),
    Field("standby_tasks", _TASK_IDS, "0+", "tasks whose state it has"),
)
_OFFSET_SUM = Field("offset_sum", Int64, "0+", "offsets of the task's state, summed; -2 = running, -3 = not known")
_UNIQUE_FIELD = Field("unique_field", Int8, "8+", "changes so that the coordinator sees a new subscription")
_ERROR_CODE = Field("error_code", Int32, "9+", "0 = none, 4 = the application is to shut down")

SUBSCRIPTION = Layout("SubscriptionInfoData", versions="10-11", flexible="none", fields=(
    _LATEST_SUPPORTED,
    _PROCESS_ID,
    _END_POINT,
    Field("task_offset_sums", ArrayOf(Struct("TaskOffsetSum", (
        _TOPIC_GROUP,
        _PARTITION,
        _OFFSET_SUM,
        Field("named_topology", String, "0+", "name of the topology; null = it has none", nullable="0+"),
    ))), "0+", "how far the process's state of each task is"),
    _UNIQUE_FIELD,
    _ERROR_CODE,
    Field("client_tags", ArrayOf(Struct("ClientTag", (
        Field("key", TextBytes, "0+", "name of the tag"),
        Field("value", TextBytes, "0+", "its value"),
    ))), "11+", "client.tag.*: where the process runs (KIP-708)"),
), doc="What a member of a Streams application says when it joins.")

SUBSCRIPTION_BY_TOPIC_GROUP = Layout("SubscriptionInfoData", versions="7-9", flexible="none", fields=(
    _LATEST_SUPPORTED,
    _PROCESS_ID,
    _END_POINT,
    Field("task_offset_sums", ArrayOf(Struct("TaskOffsetSum", (
        _TOPIC_GROUP,
        Field("partition_to_offset_sum", ArrayOf(Struct("PartitionToOffsetSum", (_PARTITION, _OFFSET_SUM))), "0+",
              "by partition, which is the task's"),
    ))), "0+", "how far the process's state of each task is"),
    _UNIQUE_FIELD,
    _ERROR_CODE,
), doc="The same with the tasks grouped by subtopology (KIP-441).")

SUBSCRIPTION_WITH_TASK_SETS = Layout("SubscriptionInfoData", versions="1-6", flexible="none", fields=(
    _LATEST_SUPPORTED,
    _PROCESS_ID,
    *_TASK_SETS,
    _END_POINT,
), doc="The same with two sets of tasks in place of offset sums.")

SUBSCRIPTION_IN_UPGRADE = Layout("SubscriptionInfoData", versions="1", flexible="none", fields=(
    _PROCESS_ID,
    *_TASK_SETS,
    Field("user_end_point", TextBytes, "1", _END_POINT.doc),
), shape=_UPGRADE, doc="Version 1 as 0.10.2.2 to 1.1.1 wrote it.")

# --- Assignments

_TASK = (
    _TOPIC_GROUP,
    _PARTITION,
    Field("named_topology", JavaChars, "10+", 'name of the topology; "" = it has none'),
)
_TOPIC_PARTITIONS = ArrayOf(Struct("TopicPartition", (
    Field("topic", JavaText, "0+", "topic name"),
    _PARTITION,
)))
_TASKS = (
    Field("active_tasks", ArrayOf(Struct("TaskId", _TASK)), "0+",
          "the task of each assigned partition, partitions in order"),
    Field("standby_tasks", ArrayOf(Struct("StandbyTask", (
        *_TASK,
        Field("partitions", _TOPIC_PARTITIONS, "0+", "partitions of the task"),
    ))), "0+", "tasks whose state the member keeps for others"),
)
_HOST = (
    Field("host", JavaText, "0+", "host of a process"),
    Field("port", Int32, "0+", "its port"),
)
_COMMONLY_SUPPORTED = Field("commonly_supported_version", Int32, "3+",
                            "highest protocol version that all members speak")
_ERR_CODE = Field("err_code", Int32, "4+",
                  "0 = none, 1 = a source topic is missing, 2 = other protocol version needed, 3 = assignment failed, "
                  "4 = the application is to shut down")
_HOSTS_BY_NAME = ArrayOf(Struct("HostPartitions", (
    *_HOST,
    Field("partitions", _TOPIC_PARTITIONS, "0+", "partitions that it has"),
)))
_HOSTS_BY_INDEX = ArrayOf(Struct("HostPartitions", (
    *_HOST,
    Field("partitions", ArrayOf(Struct("IndexedPartition", (
        Field("topic_index", Int32, "0+", "the topic, by its index in topics"),
        _PARTITION,
    ))), "0+", "partitions that it has"),
)))
_ACTIVE_HOSTS = "partitions whose active task runs at each end point of the application"

ASSIGNMENT = Layout("AssignmentInfo", versions="5-11", flexible="none", fields=(
    _COMMONLY_SUPPORTED,
    *_TASKS,
    Field("topics", ArrayOf(Struct("TopicIndex", (
        Field("index", Int32, "0+", "number that stands for the topic"),
        Field("topic", JavaText, "0+", "topic name"),
    ))), "0+", "names of the topics in the fields below (KAFKA-7149)"),
    Field("partitions_by_host", _HOSTS_BY_INDEX, "0+", _ACTIVE_HOSTS),
    Field("standby_partitions_by_host", _HOSTS_BY_INDEX, "6+", "the same for standby tasks (KIP-535)"),
    _ERR_CODE,
    Field("next_rebalance_ms", Int64, "7+",
          "when the member is to trigger a rebalance, ms since 1970 UTC; 9223372036854775807 = never"),
), doc="What the leader of a Streams application hands a member.")

ASSIGNMENT_WITH_TOPIC_NAMES = Layout("AssignmentInfo", versions="1-4", flexible="none", fields=(
    _COMMONLY_SUPPORTED,
    *_TASKS,
    Field("partitions_by_host", _HOSTS_BY_NAME, "2+", _ACTIVE_HOSTS),
    _ERR_CODE,
), doc="The same with the topics' names written out.")

ASSIGNMENT_IN_UPGRADE = Layout("AssignmentInfo", versions="1", flexible="none", fields=(
    *_TASKS,
    Field("partitions_by_host", _HOSTS_BY_NAME, "1", _ACTIVE_HOSTS),
), shape=_UPGRADE, doc="Version 1 as 0.10.2.2 to 1.1.1 wrote it.")

STREAMS_SUBSCRIPTION = OpaqueFormat("streams", (
    SUBSCRIPTION, SUBSCRIPTION_BY_TOPIC_GROUP, SUBSCRIPTION_WITH_TASK_SETS, SUBSCRIPTION_IN_UPGRADE,
), Int32)
STREAMS_ASSIGNMENT = OpaqueFormat("streams", (
    ASSIGNMENT, ASSIGNMENT_WITH_TOPIC_NAMES, ASSIGNMENT_IN_UPGRADE,
), Int32)

# --- Metadata of commits: base64 text of these bytes

_TIMESTAMP = Field("timestamp", Int64, "0+", "the partition's stream time, ms since 1970 UTC; -1 = not known")

COMMIT_METADATA = Layout("TopicPartitionMetadata", versions="1-2", flexible="none", fields=(
    _TIMESTAMP,
), doc="How far a Streams task's time had come in the partition. Version 1 since Kafka 2.4, 2 since 3.3.")

COMMIT_METADATA_WITH_PROCESSORS = Layout("TopicPartitionMetadata", versions="2", flexible="none", fields=(
    _TIMESTAMP,
    Field("processor_metadata", ArrayOf(Struct("ProcessorMetadata", (
        Field("key", TextBytes, "0+", "what a processor calls it"),
        Field("value", Int64, "0+", "its number, often a time"),
    ))), "0+", "numbers that processors keep with the commit; written only when there are any"),
), doc="The same with what processors keep.")

STREAMS_COMMIT_METADATA = OpaqueFormat("streams", (COMMIT_METADATA_WITH_PROCESSORS, COMMIT_METADATA), Int8)

# Streams writes -1 or a record's time, and drops records of negative time. Texts that are no metadata of Streams
# and decode by chance have times far beyond the calendar, which ends with the year 9999.
COMMIT_TIMES_MS = range(-1, 253_402_300_800_000)
