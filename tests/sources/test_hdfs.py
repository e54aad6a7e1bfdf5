"""HDFS as pyarrow has it: its file system for this machine's files stands behind, so nothing of Hadoop is needed.

Where ARROW_LIBHDFS_DIR, CLASSPATH and OFFDECODE_HDFS (hdfs://HOST:PORT/an/empty/directory) are set, a name node is
asked, too.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pyarrow.fs
import pytest

import offdecode
from offdecode.errors import SourceError
from offdecode.evidence import open_evidence
from offdecode.sources import hdfs
from offdecode.sources.remote import _filesystem
from tests.asking import a_request
from tests.brokers import free_port
from tests.command import TRANSACTIONS
from tests.containers import ARCHIVES
from tests.sources.test_containers import nameless, rows_of

LOG = TRANSACTIONS / "log"
REAL = os.environ.get("OFFDECODE_HDFS") or None


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def url(listening: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of this machine's files."""
    monkeypatch.setenv("CLASSPATH", "/some.jar")
    monkeypatch.setenv("LIBHDFS_OPTS", "-Xmx1g")
    monkeypatch.setattr(pyarrow.fs, "HadoopFileSystem", lambda **options: pyarrow.fs.LocalFileSystem())
    for cached in (hdfs._connection, _filesystem):
        cached.cache_clear()
    yield f"hdfs://127.0.0.1:{listening}"
    for cached in (hdfs._connection, _filesystem):
        cached.cache_clear()


def test_a_directory_a_segment_and_archives(url: str, tmp_path: Path) -> None:
    wanted, _ = rows_of(LOG)
    rows, problems = rows_of(Path(f"{url}{LOG.resolve()}"))
    assert (nameless(rows), problems) == (nameless(wanted), [])
    assert rows[0]["segment"].startswith(f"{url}{LOG.resolve()}/__consumer_offsets-")
    for form, pack in ARCHIVES.items():
        archive = tmp_path / f"data.{form}"
        archive.write_bytes(pack(LOG))
        assert nameless(rows_of(Path(f"{url}{archive}"))[0]) == nameless(wanted)
    segment = min((LOG / "__consumer_offsets-0").glob("*.log")).resolve()
    assert nameless(rows_of(Path(f"{url}{segment}"))[0]) == nameless(rows_of(segment)[0])
    assert os.environ["LIBHDFS_OPTS"] == "-Xmx1g -Xrs"


def test_a_java_machine_does_not_survive_a_fork(url: str, tmp_path: Path) -> None:
    archive = tmp_path / "data.tgz"
    archive.write_bytes(ARCHIVES["tar.gz"](LOG))
    for path in (f"{url}{LOG.resolve()}", f"{url}{archive}"):
        assert not open_evidence(a_request(Path(path))).survives_fork
    assert open_evidence(a_request(LOG)).survives_fork


def refusal(path: str) -> str:
    with pytest.raises(SourceError) as caught:
        list(offdecode.groups(path).rows())
    return str(caught.value)


def test_what_is_not_there(url: str, tmp_path: Path) -> None:
    assert refusal(f"{url}{tmp_path}/nothing") == f"{url}{tmp_path}/nothing: there is no such file or directory"


def test_what_may_not_be_read_is_not_taken_for_missing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyarrow tells nothing of a file whose directory is closed; listing it says why."""

    class Closed(pyarrow.fs.LocalFileSystem):  # type: ignore[misc]
        def get_file_info(self, asked: object) -> object:
            if isinstance(asked, pyarrow.fs.FileSelector):
                raise PermissionError
            return [pyarrow.fs.FileInfo(path, pyarrow.fs.FileType.NotFound) for path in asked]  # type: ignore[attr-defined]

    monkeypatch.setattr(pyarrow.fs, "HadoopFileSystem", lambda **options: Closed())
    assert refusal(f"{url}/closed/one.log") == f"{url}/closed/one.log: cannot be read: Permission denied"


def test_without_a_class_path_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLASSPATH", raising=False)
    told = refusal(f"hdfs://127.0.0.1:{free_port()}/data")
    assert told.endswith('CLASSPATH="$(hadoop classpath --glob)"')
    assert "\n" not in told


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSPATH", "/some.jar")
    place = f"hdfs://127.0.0.1:{free_port()}"
    assert refusal(f"{place}/data") == f"{place}: cannot be connected to: Connection refused"


def test_without_libhdfs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(**options: object) -> None:
        raise OSError("Unable to load libhdfs: libhdfs.so: cannot open shared object file")

    monkeypatch.setattr(pyarrow.fs, "HadoopFileSystem", missing)
    told = refusal(f"{url}/data")
    assert told.startswith(f"{url}: cannot load libhdfs: libhdfs.so: cannot open")
    assert "ARROW_LIBHDFS_DIR" in told


@pytest.mark.skipif(REAL is None, reason="needs a name node, libhdfs and Hadoop's jars")
def test_a_name_node(tmp_path: Path) -> None:
    assert REAL is not None
    archive = tmp_path / "data.tgz"
    archive.write_bytes(ARCHIVES["tar.gz"](LOG))
    fs, root = hdfs.name_node(REAL, os.getpid())
    fs.put(str(archive), f"{root}/data.tgz")
    for path in filter(Path.is_file, LOG.rglob("*")):
        fs.makedirs(f"{root}/{path.parent.relative_to(LOG.parent)}", exist_ok=True)
        fs.put_file(str(path), f"{root}/{path.relative_to(LOG.parent)}")
    for name in ("log", "data.tgz"):
        rows, problems = rows_of(Path(f"{REAL}/{name}"))
        assert (nameless(rows), problems) == (nameless(rows_of(LOG)[0]), [])
        for question in (offdecode.groups, offdecode.state, offdecode.transactions, offdecode.explain):
            assert list(question(f"{REAL}/{name}").rows()) == list(question(LOG).rows())
    assert refusal(f"{REAL}/nothing") == f"{REAL}/nothing: there is no such file or directory"
