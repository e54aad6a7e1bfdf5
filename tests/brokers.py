"""Real brokers for tests: one KRaft node of a given Kafka version on free ports, in a directory of its own.

A test takes the fixture `start_broker` (tests/conftest.py) and carries the mark `broker`:

    @pytest.mark.broker
    def test_something(start_broker: StartBroker) -> None:
        broker = start_broker("4.4.0", {"offsets.topic.compression.codec": "4"})
        ...                  # clients go to broker.bootstrap
        broker.stop()        # SIGTERM and wait: broker.data is complete then
        broker.start()       # the same data, the same ports
        other = start_broker("4.4.0", joins=broker)  # a second broker of the same cluster
        start_broker("4.4.0", data=copied)  # a copy of the data directory of a stopped broker

What was started is stopped when the test ends. Jars come by Maven into the cache of tests/kafka_jars.py, which
also skips or fails the test where Java or Maven is missing. A broker takes some 400 MB and 4 to 10 s to start.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kafka_jars import classpath, require_java

KAFKA_4, KAFKA_3 = "4.4.0", "3.9.1"
OFFSETS_PARTITIONS = 4

_CLUSTER = "b2ZmZGVjb2RlLXRlc3RzMQ"
_START_SECONDS = 90
_STOP_SECONDS = 60
_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "inter.broker.listener.name": "PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "num.partitions": "4",
    "offsets.topic.num.partitions": str(OFFSETS_PARTITIONS),
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "2",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.min.heartbeat.interval.ms": "200",
    "group.consumer.heartbeat.interval.ms": "200",
    "log.cleaner.enable": "false",
}


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Broker:
    """One broker. `listeners`: more listeners, {name: security protocol}; `address(name)` tells where they are.

    joins: the broker that is the cluster's controller, for a second one without a controller of its own.
    """

    def __init__(
        self,
        version: str,
        folder: Path,
        properties: Mapping[str, str],
        listeners: Mapping[str, str],
        data: Path | None,
        format_arguments: Sequence[str],
        joins: Broker | None = None,
    ) -> None:
        self.version = version
        self.folder = folder
        self.data = folder / "data" if data is None else data
        self.classpath = classpath(f"org.apache.kafka:kafka_2.13:{version}", "org.slf4j:slf4j-simple:1.7.36")
        protocols = {"PLAINTEXT": "PLAINTEXT", **listeners}
        self._ports = {name: free_port() for name in (*protocols, *([] if joins else ["CONTROLLER"]))}
        self._voters: str = joins._voters if joins else f"1@127.0.0.1:{self._ports['CONTROLLER']}"
        self._process: subprocess.Popen[bytes] | None = None
        self._file = folder / "server.properties"
        where = {name: f"{name}://127.0.0.1:{port}" for name, port in self._ports.items()}
        lines = {
            **_PROPERTIES,
            "log.dirs": str(self.data),
            "controller.quorum.voters": self._voters,
            "listeners": ",".join(where.values()),
            "advertised.listeners": ",".join(where[name] for name in protocols),
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}" for name, protocol in {**protocols, "CONTROLLER": "PLAINTEXT"}.items()
            ),
            **({"process.roles": "broker", "node.id": "2"} if joins else {}),
            **properties,
        }
        self._lines = lines
        self.set({})
        if data is None:
            self._format(format_arguments)

    @property
    def bootstrap(self) -> str:
        return self.address("PLAINTEXT")

    def address(self, listener: str) -> str:
        return f"127.0.0.1:{self._ports[listener]}"

    def set(self, properties: Mapping[str, str]) -> None:
        """Properties that hold when it starts the next time."""
        self._lines = {**self._lines, **properties}
        self._file.write_text("".join(f"{name}={value}\n" for name, value in self._lines.items()), encoding="utf-8")

    def start(self) -> None:
        """Start, and wait until clients are answered."""
        log = (self.folder / "broker.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [*self._java(), "kafka.Kafka", str(self._file)], stdout=log, stderr=log, cwd=self.folder
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"Kafka {self.version} did not start:\n{self.log[-4000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """SIGTERM, and wait: the data directory is complete then."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
            self.kill()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def log(self) -> str:
        return (self.folder / "broker.log").read_text("utf-8", "replace")

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._ports["PLAINTEXT"]), timeout=1):
            return True
        return False

    def _java(self) -> list[str]:
        return [
            "java", "-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", self.classpath,
        ]  # fmt: skip

    def _format(self, arguments: Sequence[str]) -> None:
        command = [*self._java(), "kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(self._file)]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"formatting failed:\n{done.stdout}{done.stderr}"


StartBroker = Callable[..., Broker]


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[StartBroker]:
    """start_broker(version, properties, *, listeners, data, format_arguments, joins) gives a running Broker."""
    require_java()
    started: list[Broker] = []

    def start(
        version: str = KAFKA_4,
        properties: Mapping[str, str] | None = None,
        *,
        listeners: Mapping[str, str] | None = None,
        data: Path | None = None,
        format_arguments: Sequence[str] = (),
        joins: Broker | None = None,
    ) -> Broker:
        folder = tmp_path / f"broker-{len(started)}"
        folder.mkdir()
        broker = Broker(version, folder, properties or {}, listeners or {}, data, format_arguments, joins)
        started.append(broker)
        broker.start()
        return broker

    yield start
    for broker in started:
        broker.kill()
