"""What explain says of a log that a real broker wrote as time went by."""

from __future__ import annotations

import asyncio
import time

import pytest

from offdecode.model import rows_of
from offdecode.schemas.history_rows import MOVEMENT_ROW
from tests.asking import a_request, explain
from tests.brokers import KAFKA_4, StartBroker
from tests.commit_load import GROUPS, PARTITIONS, load

_COLUMNS = ["kind", "cause", "signals", "confidence"]

pytestmark = [pytest.mark.broker, pytest.mark.slow]


def test_sweeps_of_a_broker_show_its_retention(start_broker: StartBroker) -> None:
    """Twenty groups go idle one after the other; nobody tells that offsets are kept for one minute."""
    broker = start_broker(KAFKA_4, {"offsets.retention.minutes": "1", "offsets.retention.check.interval.ms": "1000"})
    asyncio.run(load(broker.bootstrap, PARTITIONS * GROUPS, PARTITIONS, 0))
    time.sleep(64)
    broker.stop()
    found = [
        row
        for chunk in explain(a_request(broker.data))
        for row in (rows_of(chunk.batches[MOVEMENT_ROW], _COLUMNS) if MOVEMENT_ROW in chunk.batches else [])
        if row["kind"] == "tombstone"
    ]
    assert len(found) == PARTITIONS * GROUPS
    assert {(row["cause"], row["confidence"]) for row in found} == {("expiry", "medium")}
    assert all({"retention_inferred", "past_retention"} <= set(row["signals"]) for row in found)
