"""Records of `__transaction_state`, the transaction coordinator's log: who is behind a producer id.

TransactionLogKey and TransactionLogValue of kafka-transaction-coordinator.
"""

from __future__ import annotations

from offdecode.schemas.layout import ArrayOf, Field, Layout, Struct
from offdecode.schemas.types import Int8, Int16, Int32, Int64, String

TOPIC = "__transaction_state"

KEY = Layout("TransactionLogKey", versions="0", flexible="none", fields=(
    Field("transactional_id", String, "0+", "the producer's own id"),
))

_PARTITIONS = Struct("PartitionsSchema", (
    Field("topic", String, "0+", "topic involved"),
    Field("partition_ids", ArrayOf(Int32), "0+", "its partitions"),
))

VALUE = Layout("TransactionLogValue", versions="0-1", flexible="1+", fields=(
    Field("producer_id", Int64, "0+", "the producer id in use"),
    Field("previous_producer_id", Int64, "1+", "that of the last committed transaction", tag=0),
    Field("next_producer_id", Int64, "1+", "the latest one sent to the producer", tag=1),
    Field("producer_epoch", Int16, "0+", "its epoch"),
    Field("next_producer_epoch", Int16, "1+", "epoch of the next producer id", tag=3),
    Field("transaction_timeout_ms", Int32, "0+", "milliseconds after which the coordinator aborts"),
    Field("transaction_status", Int8, "0+", "a place in STATES"),
    Field("transaction_partitions", ArrayOf(_PARTITIONS), "0+", "partitions in the transaction", nullable="0+"),
    Field("transaction_last_update_timestamp_ms", Int64, "0+", "when it was last changed"),
    Field("transaction_start_timestamp_ms", Int64, "0+", "when it was begun"),
    Field("client_transaction_version", Int16, "1+", "transaction version of the client", tag=2),
))

# org.apache.kafka.coordinator.transaction.TransactionState by id.
STATES = (
    "Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence",
)  # fmt: skip
