"""Evidence on a real SSH server on this machine."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from offdecode.sources import sftp
from offdecode.sources.remote import RemoteLocation, _filesystem
from tests.brokers import free_port
from tests.command import ENVIRONMENT, TRANSACTIONS, run
from tests.containers import ARCHIVES
from tests.sources.test_containers import nameless, rows_of

pytestmark = pytest.mark.slow
LOG = TRANSACTIONS / "log"


class Server:
    """An sshd that serves this user's files. home: where the client's keys and known hosts are."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.home = home / ".ssh"
        self.home.mkdir(parents=True)
        self.port = free_port()
        for key in (folder / "host", self.home / "id_ed25519"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        shutil.copy(self.home / "id_ed25519.pub", folder / "authorized")
        (folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
            f"StrictModes no\nAuthorizedKeysFile {folder}/authorized\nPermitRootLogin yes\n"
            "Subsystem sftp internal-sftp\n"
        )
        self.host_key = " ".join((folder / "host.pub").read_text().split()[:2])
        self.know(self.host_key)
        self.process: subprocess.Popen[bytes] | None = None
        self._config = folder / "config"
        self.start()

    @property
    def url(self) -> str:
        return f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}"

    def know(self, key: str) -> None:
        (self.home / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}\n" if key else "")

    def start(self) -> None:
        command = [_sshd() or "sshd", "-D", "-e", "-f", str(self._config)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        pytest.fail("sshd did not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()


def _sshd() -> str | None:
    return shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    if _sshd() is None:
        if os.environ.get("OFFDECODE_REQUIRE_BROKER") == "1":
            pytest.fail("there is no sshd")
        pytest.skip("there is no sshd")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setitem(ENVIRONMENT, "HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / "server").mkdir()
    found = Server(tmp_path / "server", tmp_path / "home")
    yield found
    found.stop()
    _filesystem.cache_clear()
    sftp._connection.cache_clear()


@pytest.mark.parametrize("form", [None, "tar.gz", "zip"])
def test_a_directory_and_archives(server: Server, tmp_path: Path, form: str | None) -> None:
    place = LOG
    if form is not None:
        place = tmp_path / "broker1"
        place.write_bytes(ARCHIVES[form](LOG))
    rows, problems = rows_of(Path(f"{server.url}{place}"))
    assert nameless(rows) == nameless(rows_of(LOG)[0])
    assert problems == []
    assert getpass.getuser() not in rows[0]["segment"].replace(str(place), "")


def test_links_are_followed_as_on_a_disk(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for directory in LOG.iterdir():
        (tmp_path / "data" / directory.name).symlink_to(directory)
    rows, problems = rows_of(Path(f"{server.url}{tmp_path}/data"))
    assert nameless(rows) == nameless(rows_of(LOG)[0])
    assert problems == []


def test_one_connection_serves_all_files(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0
    connect = sftp.KnownHostsSFTP._connect

    def counting(self: sftp.KnownHostsSFTP) -> None:
        nonlocal made
        made += 1
        connect(self)

    monkeypatch.setattr(sftp.KnownHostsSFTP, "_connect", counting)
    rows, problems = rows_of(Path(f"{server.url}{LOG}"))
    assert (nameless(rows), problems, made) == (nameless(rows_of(LOG)[0]), [], 1)


def test_every_question(server: Server) -> None:
    for name in ("check", "explain"):
        done = run(name, f"{server.url}{LOG}")
        assert (done.status, bool(done.stdout)) == (0, True), done.stderr


OTHER_KEY = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43}"


@pytest.mark.parametrize(("key", "reason"), [("", "not in ~/.ssh/known_hosts"), (OTHER_KEY, "not the one")])
def test_a_host_that_is_not_the_known_one(server: Server, key: str, reason: str) -> None:
    server.know(key)
    done = run("decode", f"{server.url}{LOG}")
    assert (done.status, done.stdout) == (2, b"")
    assert reason in done.stderr


def test_who_is_not_let_in(server: Server) -> None:
    (server.home / "id_ed25519").unlink()
    done = run("decode", f"{server.url}{LOG}")
    assert (done.status, done.stdout) == (2, b"")
    assert "Permission denied" in done.stderr


def test_what_is_not_there(server: Server) -> None:
    assert "no such file" in run("decode", f"{server.url}/nowhere").stderr.lower()
    server.stop()
    done = run("decode", f"{server.url}{LOG}")
    assert (done.status, done.stdout) == (2, b"")
    assert "after 4 attempts" in done.stderr


def test_a_connection_that_breaks(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends all connections in the middle, once."""
    url = Path(f"{server.url}{LOG}")
    answers = 0

    fetch = RemoteLocation._range

    def breaking(self: RemoteLocation, start: int, end: int) -> bytes:
        nonlocal answers
        answers += 1
        if answers == 2:
            subprocess.run(["pkill", "-f", "sshd: .*@notty"], check=False)
        return fetch(self, start, end)

    monkeypatch.setattr(RemoteLocation, "_range", breaking)
    rows, problems = rows_of(url)
    assert answers > 2
    assert nameless(rows) == nameless(rows_of(LOG)[0])
    assert problems == []
