"""Evidence on servers: object stores and HTTP, with servers on this machine that misbehave."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from offdecode.errors import SourceError
from offdecode.sources import remote, small_files
from offdecode.sources.containers import Containers
from offdecode.sources.remote import RemoteReader
from tests.bench.object_store import ObjectStore
from tests.command import TRANSACTIONS
from tests.containers import ARCHIVES
from tests.segment_builder import Header, batch, commit
from tests.sources.test_containers import nameless, rows_of

LOG = TRANSACTIONS / "log"


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, with ranges. faults: how many requests for data end in the middle. stalls:
    how many get no data for two seconds. bad: bytes never served."""

    ranges = True
    bad = range(0)
    faults = 0
    stalls = 0
    requests: list[tuple[str, str, str | None]]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        type(self).requests.append(("GET", self.path, wanted))
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            super().do_GET()
            return
        data = path.read_bytes()
        if wanted and self.ranges:
            first, last = wanted.removeprefix("bytes=").split("-")
            if int(first) < self.bad.stop and int(last) >= self.bad.start:
                self.send_error(500)
                return
            part = data[int(first) : int(last) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        else:
            part = data
            self.send_response(200)
        if self.ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if type(self).stalls > 0:
            type(self).stalls -= 1
            time.sleep(2)
            self.close_connection = True
            return
        if type(self).faults > 0:
            type(self).faults -= 1
            part = part[: len(part) // 2]
            self.close_connection = True
        self.wfile.write(part)

    def end_headers(self) -> None:
        if self.command == "HEAD" and self.ranges:
            self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path, type[Handler]]]:
    """(URL, folder, handler) of a web server."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Own(Handler):
        requests: list[tuple[str, str, str | None]] = []  # noqa: RUF012

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, directory=str(folder), **named)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder, Own
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
def test_an_archive_on_a_web_server(served: tuple[str, Path, type[Handler]], form: str, ranges: bool) -> None:
    url, folder, handler = served
    handler.ranges = ranges
    (folder / "broker1").write_bytes(ARCHIVES[form](LOG))
    rows, problems = rows_of(Path(f"{url}/broker1?signature=secret"))
    assert nameless(rows) == nameless(rows_of(LOG)[0])
    assert problems == []
    assert rows[0]["segment"].startswith(f"{url}/broker1!/data/__consumer_offsets-")


def test_a_directory_of_links(served: tuple[str, Path, type[Handler]]) -> None:
    url, folder, _ = served
    (folder / "log").symlink_to(LOG)
    rows, problems = rows_of(Path(f"{url}/log"))
    assert nameless(rows) == nameless(rows_of(LOG)[0])
    assert problems == []


def test_who_asks_again_sees_what_has_come(served: tuple[str, Path, type[Handler]]) -> None:
    url, folder, _ = served
    data = small_segments(folder, 3)
    assert len(rows_of(Path(f"{url}/data"))[0]) == 6
    new = data / "__consumer_offsets-0" / f"{3:020}.log"
    new.write_bytes(batch([commit("new", offset=3)], Header(base_offset=3)))
    assert {row["group"] for row in rows_of(Path(f"{url}/data"))[0]} >= {"group-0", "new"}
    new.unlink()
    assert len(rows_of(Path(f"{url}/data"))[0]) == 6


def test_connections_that_break(served: tuple[str, Path, type[Handler]]) -> None:
    url, folder, handler = served
    (folder / "a.tar").write_bytes(ARCHIVES["tar"](LOG))
    handler.faults = 3
    rows, problems = rows_of(Path(f"{url}/a.tar"))
    assert nameless(rows) == nameless(rows_of(LOG)[0])
    assert problems == []
    assert handler.faults == 0


def test_a_server_that_stalls(served: tuple[str, Path, type[Handler]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says nothing for some time is asked again."""
    url, folder, handler = served
    (folder / "a.tar").write_bytes(ARCHIVES["tar"](LOG))
    monkeypatch.setattr(remote, "_STALLED_SECONDS", 0.5)
    monkeypatch.setattr(handler, "stalls", 2)
    began = time.monotonic()
    rows, problems = rows_of(Path(f"{url}/a.tar"))
    assert nameless(rows) == nameless(rows_of(LOG)[0])
    assert problems == []
    assert handler.stalls == 0
    assert time.monotonic() - began < 15


def test_a_range_that_is_never_served(served: tuple[str, Path, type[Handler]]) -> None:
    """All that is not in the same block is there."""
    url, folder, handler = served
    large = [commit("g", topic="t" * 30_000, offset=number) for number in range(500)]
    batches = [batch([one], Header(number)) for number, one in enumerate(large)]
    each = len(batches[0])
    (folder / "a.log").write_bytes(b"".join(batches))
    handler.bad = range(5_000_000, 5_000_001)
    rows, problems = rows_of(Path(f"{url}/a.log"))
    lost = range((4 << 20) // each, (6 << 20) // each + 1)
    assert [row["log_offset"] for row in rows] == [number for number in range(500) if number not in lost]
    assert [(one.position, one.length) for one in problems if one.kind == "unreadable"] == [(4 << 20, 2 << 20)]


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_exported_records_on_a_web_server(served: tuple[str, Path, type[Handler]], ranges: bool) -> None:
    url, folder, handler = served
    handler.ranges = ranges
    line = b'{"key_hex":"000200016%d","value_hex":null,"partition":0,"offset":%d,"timestamp":0}\n'
    (folder / "export.jsonl").write_bytes(b"".join(line % (number % 8, number) for number in range(100)))
    rows, problems = rows_of(Path(f"{url}/export.jsonl?token=secret"), input_format="records-jsonl")
    assert [row["log_offset"] for row in rows] == list(range(100))
    assert problems == []
    with pytest.raises(SourceError, match=r"nothing\.jsonl: cannot be read: No such file"):
        rows_of(Path(f"{url}/nothing.jsonl?token=secret"), input_format="records-jsonl")


def test_what_is_not_there(served: tuple[str, Path, type[Handler]]) -> None:
    url = served[0]
    with pytest.raises(SourceError, match="there is no such file") as missing:
        rows_of(Path(f"{url.replace('://', '://user:password@')}/nothing?token=secret"))
    assert str(missing.value) == f"{url}/nothing: there is no such file or directory"
    with pytest.raises(SourceError, match=r"cannot be read: the connection is refused after 4 attempts"):
        rows_of(Path("http://127.0.0.1:1/a.log"))
    with pytest.raises(SourceError, match=r"cannot be read: there is no host of this name after 4 attempts"):
        rows_of(Path("http://no-such-host.invalid/a.log"))


def test_a_file_by_its_url_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(b"")
    assert Containers("t").location(Path(f"FILE://{tmp_path}/x.log")).is_file()


def test_a_url_that_nobody_reads() -> None:
    with pytest.raises(SourceError) as refused:
        rows_of(Path("ftp://me:secret@host/a.log?signature=secret"))
    assert str(refused.value).startswith("ftp:/host/a.log: there is no such file, and no such URL is read; those are ")
    assert "secret" not in str(refused.value)


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(SourceError, match=r"gs:// needs more packages: pip install 'offdecode\[gs\]'"):
        rows_of(Path("gs://bucket/a.log"))


def test_a_local_file_by_its_url(tmp_path: Path) -> None:
    segment = tmp_path / "with space.log"
    segment.write_bytes(b"")
    assert Containers("t").location(Path(segment.as_uri())).text == str(segment)


def test_ranges_are_read_ahead() -> None:
    data = bytes(range(250)) * 2
    asked: list[tuple[int, int]] = []

    def fetch(start: int, end: int) -> bytes:
        asked.append((start, end))
        return data[start:end]

    with RemoteReader(fetch, len(data), block_bytes=10) as reader:
        assert reader.read(0, 4) == data[:4]
        assert asked == [(0, 4)]
        assert b"".join(reader.read(at, 7) for at in range(0, len(data), 7)) == data
        assert len(asked) <= 2 + 50
        assert reader.read(490, 50) == data[490:]
        assert reader.read(600, 5) == b""
        assert reader.read(123, 20) == data[123:143]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an S3 server on this machine with a bucket `evidence`."""
    boto3 = pytest.importorskip("boto3")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key-that-is-secret", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="evidence")
    yield client
    server.stop()


def test_an_object_store(bucket: Any) -> None:
    for path in sorted(LOG.rglob("*")):
        if path.is_file():
            bucket.put_object(Bucket="evidence", Key=f"backup/{path.relative_to(LOG)}", Body=path.read_bytes())
    bucket.put_object(Bucket="evidence", Key="broker1.tgz", Body=ARCHIVES["tar.gz"](LOG))
    wanted = nameless(rows_of(LOG)[0])
    rows, problems = rows_of(Path("s3://evidence/backup"))
    assert (nameless(rows), problems) == (wanted, [])
    assert rows[0]["segment"].startswith("s3://evidence/backup/__consumer_offsets-")
    rows, problems = rows_of(Path("s3://evidence/broker1.tgz"))
    assert (nameless(rows), problems) == (wanted, [])
    one = "__consumer_offsets-0/00000000000000000000.log"
    rows, problems = rows_of(Path(f"s3://evidence/backup/{one}"))
    assert (nameless(rows), problems) == (nameless(rows_of(LOG / one)[0]), [])
    with pytest.raises(SourceError, match="s3://nowhere/x: there is no such file or directory"):
        rows_of(Path("s3://nowhere/x"))


def test_processes_that_share_an_object(bucket: Any) -> None:
    bucket.put_object(Bucket="evidence", Key="broker1.tar", Body=ARCHIVES["tar"](LOG))
    found = [
        subprocess.run([sys.executable, "-m", "offdecode", "decode", "s3://evidence/broker1.tar", "--jobs", jobs],
                       capture_output=True, timeout=60, check=False)
        for jobs in ("1", "2")
    ]  # fmt: skip
    assert found[0].returncode == 0, found[0].stderr
    assert found[0].stdout == found[1].stdout
    assert b"secret" not in found[0].stderr


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, list[str], set[str]]]:
    """A bucket `evidence`'s folder, what is asked of its server, and names of objects that it never gives."""
    asked: list[str] = []
    broken: set[str] = set()
    folder = tmp_path / "buckets"
    (folder / "evidence").mkdir(parents=True)

    class Own(ObjectStore):
        seconds = 0.0

        def _answer(self, *, with_body: bool) -> None:
            listed = "list-type" in self.path
            asked.append("LIST" if listed else f"{self.command} {self.path}")
            if not listed and any(name in self.path for name in broken):
                self.send_error(500)
            else:
                super()._answer(with_body=with_body)

    Own.folder = folder
    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_MAX_ATTEMPTS": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("offdecode.sources.remote._FIRST_WAIT_SECONDS", 0.01)
    _forget_servers()
    yield folder / "evidence", asked, broken
    _forget_servers()
    server.shutdown()
    thread.join()
    server.server_close()


def _forget_servers() -> None:
    """Clients are kept by what they were made with, which leaves out where the environment says that the server is."""
    pytest.importorskip("s3fs").S3FileSystem.clear_instance_cache()
    remote._filesystem.cache_clear()
    small_files._shared.cache_clear()


def small_segments(folder: Path, count: int) -> Path:
    for partition in (0, 1):
        directory = folder / "data" / f"__consumer_offsets-{partition}"
        directory.mkdir(parents=True)
        for offset in range(count):
            segment = directory / f"{offset:020}.log"
            segment.write_bytes(batch([commit(f"group-{offset}", offset=offset)], Header(base_offset=offset)))
            segment.with_suffix(".index").write_bytes(b"index")
    return folder / "data"


def test_small_objects_that_are_written_again(store: tuple[Path, list[str], set[str]]) -> None:
    data = small_segments(store[0], 2)
    rows_of(Path("s3://evidence/data"))
    other = batch([commit("other-0", offset=0)], Header(base_offset=0))
    (data / "__consumer_offsets-1" / f"{0:020}.log").write_bytes(other)
    assert "other-0" in {row["group"] for row in rows_of(Path("s3://evidence/data"))[0]}


def test_small_objects_cost_a_request_each(
    store: tuple[Path, list[str], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked, _ = store
    monkeypatch.setattr("tests.bench.object_store._MOST_KEYS", 100)
    data = small_segments(folder, 120)
    rows, problems = rows_of(Path("s3://evidence/data"))
    assert (nameless(rows), problems) == (nameless(rows_of(data)[0]), [])
    objects = [one for one in asked if one.startswith("GET") and ".log" in one]
    assert len(objects) == len(set(objects)) == 240
    assert sum(one == "LIST" for one in asked) <= 2 + 2 * 3  # in pages of a hundred
    assert len(asked) < 260
    assert not any(".index" in one for one in asked)


def test_a_small_object_that_never_comes(store: tuple[Path, list[str], set[str]]) -> None:
    folder, _, broken = store
    small_segments(folder, 5)
    broken.add(f"-1/{3:020}.log")
    rows, problems = rows_of(Path("s3://evidence/data"))
    assert len(rows) == 9
    assert [problem.kind for problem in problems if problem.kind == "unreadable"] == ["unreadable"]


def test_an_object_store_that_stalls(store: tuple[Path, list[str], set[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again when what the user has configured, else a minute, is over."""
    folder, _, _ = store
    data = small_segments(folder, 5)
    (folder / "a.tar").write_bytes(ARCHIVES["tar"](LOG))
    monkeypatch.setitem(pytest.importorskip("fsspec.config").conf, "s3", {"config_kwargs": {"read_timeout": 0.5}})
    really, left = ObjectStore._answer, ["a.tar", f"-0/{2:020}.log", f"-1/{4:020}.log"]

    def stalling(self: ObjectStore, *, with_body: bool) -> None:
        for name in [name for name in left if with_body and name in self.path and "list-type" not in self.path]:
            left.remove(name)
            time.sleep(1.5)
            self.close_connection = True
            return
        really(self, with_body=with_body)

    monkeypatch.setattr(ObjectStore, "_answer", stalling)
    rows, problems = rows_of(Path("s3://evidence/data"))
    assert (nameless(rows), problems) == (nameless(rows_of(data)[0]), [])
    rows, problems = rows_of(Path("s3://evidence/a.tar"))
    assert (nameless(rows), problems) == (nameless(rows_of(LOG)[0]), [])
    assert left == []


def test_a_spool_without_room_is_done_without(
    store: tuple[Path, list[str], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, _ = store
    data = small_segments(folder, 5)
    monkeypatch.setattr("offdecode.sources.spool._DEFAULT_LIMIT", 300)
    rows, problems = rows_of(Path("s3://evidence/data"))
    assert (nameless(rows), problems) == (nameless(rows_of(data)[0]), [])
