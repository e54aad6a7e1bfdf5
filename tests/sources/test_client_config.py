"""Client properties as Kafka people write them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from offdecode.errors import UsageError
from offdecode.sources.client_config import parse_properties, read_security
from tests.tail_runs import properties

SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


def test_properties_as_java_reads_them() -> None:
    text = "# a comment\n! another\na=1\nb : two words \nc 3\nd=x\\\n   y\ne=\\u00fc\\=\\\\\nf.g=p=q:r\nempty=\n"
    assert parse_properties(text) == {
        "a": "1", "b": "two words", "c": "3", "d": "xy", "e": "ü=\\", "f.g": "p=q:r", "empty": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    "lines",
    [
        [f'sasl.jaas.config={SCRAM} required username="al;ice" password="p\\\\"=;x";'],
        [f"sasl.jaas.config={SCRAM} required \\", "  username='al;ice' \\", "  password='p\"=;x';"],
        ["sasl.username=al;ice", 'sasl.password=p"=;x'],
    ],
    ids=["double quotes", "single quotes", "librdkafka"],
)
def test_users(tmp_path: Path, lines: list[str]) -> None:
    file = properties(tmp_path / "c", ["security.protocol=sasl_plaintext", "sasl.mechanism=SCRAM-SHA-256", *lines])
    security = read_security(file)
    assert (security.protocol, security.mechanism) == ("SASL_PLAINTEXT", "SCRAM-SHA-256")
    assert (security.username, security.password) == ("al;ice", 'p"=;x')
    assert 'p"' not in repr(security)


def test_token_is_read_anew(tmp_path: Path) -> None:
    token = tmp_path / "token"
    file = properties(tmp_path / "c", [
        "security.protocol=SASL_PLAINTEXT", "sasl.mechanism=OAUTHBEARER",
        f"sasl.oauthbearer.token.endpoint.url=file://{token}",
    ])  # fmt: skip
    security = read_security(file)
    for text in ("one", "two"):
        token.write_text(text + "\n", encoding="utf-8")
        assert security.token() == text


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["security.protocol=TLS"], "security.protocol is 'TLS'; it must be one of PLAINTEXT, SSL"),
        (["security.protocol=SASL_SSL", "sasl.mechanism=GSSAPI"], "sasl.mechanism is 'GSSAPI'; offdecode has PLAIN"),
        (["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=PLAIN"], "PLAIN needs a user"),
        (["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=OAUTHBEARER"], "needs a token in a file"),
        (["security.protocol=SSL", "ssl.truststore.location=/nowhere"], "/nowhere: cannot be read"),
        (["security.protocol=SSL", "ssl.truststore.location={store}"], "is no PEM file; make one: keytool"),
        (["security.protocol=SSL", "ssl.ca.location={key}"], "has no certificate in it"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, lines: list[str], sentence: str) -> None:
    (tmp_path / "store").write_bytes(b"\xfe\xed\xfe\xed")
    (tmp_path / "key").write_text("-----BEGIN PRIVATE KEY-----\n", encoding="ascii")
    filled = [line.format(store=tmp_path / "store", key=tmp_path / "key") for line in lines]
    with pytest.raises(UsageError, match=sentence):
        read_security(properties(tmp_path / "c", filled))


def test_without_the_extra() -> None:
    program = (
        "import sys; sys.modules['aiokafka'] = None; sys.argv[1:] = ['tail', '--bootstrap-server', 'a:1']; "
        "import offdecode.__main__ as main; main.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "offdecode: reading a live topic needs the extra `live`: pip install 'offdecode[live]'\n"


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_security(tmp_path / "c")
