"""Many commits on a broker: python -m tests.commit_load BOOTSTRAP COMMITS [COMMITS_PER_SECOND] [FIRST].

Commit n (from FIRST) says offset n, by simple group load-(n // 50 % 20), on partition n % 50 of topic `load`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.commit import OffsetCommitRequest

TOPIC, PARTITIONS, GROUPS = "load", 50, 20
_AT_ONCE = 20
_RETRIES = 600


async def load(bootstrap: str, commits: int, rate: float, first: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])  # answers with an error where it is there already
    await admin.close()
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    free = asyncio.Semaphore(_AT_ONCE)
    begun = time.monotonic()

    async def commit(numbers: range) -> None:
        group = f"load-{numbers[0] // PARTITIONS % GROUPS}"
        offsets = [(number % PARTITIONS, number, "") for number in numbers]
        async with free:
            for _ in range(_RETRIES):  # the coordinator and the topic may not be there yet
                try:
                    node = await client.coordinator_lookup(0, group)
                    answer = await client.send(node, OffsetCommitRequest(group, -1, "", -1, [(TOPIC, offsets)]))
                    if not any(code for _, entries in answer.topics for _, code in entries):
                        return
                except KafkaError:
                    pass
                await asyncio.sleep(0.1)
            raise SystemExit(f"the broker takes no commits of {group}")

    tasks: set[asyncio.Task[None]] = set()
    for start in range(first, first + commits, PARTITIONS):
        if rate:
            await asyncio.sleep(max(begun + (start - first) / rate - time.monotonic(), 0))
        tasks.add(asyncio.create_task(commit(range(start, min(start + PARTITIONS, first + commits)))))
        if len(tasks) >= 2 * _AT_ONCE:
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    await asyncio.gather(*tasks)
    await client.close()


if __name__ == "__main__":
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells about every retry
    asyncio.run(load(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) if sys.argv[3:] else 0.0,
                     int(sys.argv[4]) if sys.argv[4:] else 0))  # fmt: skip
