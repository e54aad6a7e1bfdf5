"""TLS, users and permissions against a real broker; what goes wrong is a sentence with the fix, without secrets."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from tests.brokers import KAFKA_4, Broker, StartBroker, free_port
from tests.commit_load import load
from tests.kafka_jars import require_java, run_java
from tests.tail_runs import offdecode, properties

pytestmark = pytest.mark.broker

PASSWORD = "s3cret=of;the-store"
SECURITY = "org.apache.kafka.common.security"
GRANT = """
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.common.acl.*;
import org.apache.kafka.common.resource.*;
class Grant {
    public static void main(String[] args) throws Exception {
        try (var admin = Admin.create(Map.<String, Object>of("bootstrap.servers", args[0]))) {
            admin.createAcls(List.of(new AclBinding(
                new ResourcePattern(ResourceType.TOPIC, "__consumer_offsets", PatternType.LITERAL),
                new AccessControlEntry("User:reader", "*", AclOperation.READ, AclPermissionType.ALLOW)))).all().get();
        }
    }
}
"""


def certificate(folder: Path) -> tuple[Path, Path]:
    """A keystore for the broker, and its certificate as PEM."""
    store, pem = folder / "broker.p12", folder / "authority.pem"
    access = ["-alias", "broker", "-keystore", str(store), "-storepass", PASSWORD]
    subprocess.run(
        ["keytool", "-genkeypair", *access, "-storetype", "PKCS12", "-keyalg", "EC", "-dname", "CN=broker",
         "-ext", "san=ip:127.0.0.1", "-validity", "30"], check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(["keytool", "-exportcert", "-rfc", *access, "-file", str(pem)], check=True, capture_output=True)
    return store, pem


def secured(start_broker: StartBroker, store: Path) -> Broker:
    return start_broker(
        KAFKA_4,
        {
            "ssl.keystore.location": str(store),
            "ssl.keystore.password": PASSWORD,
            "ssl.keystore.type": "PKCS12",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:alice;User:token-user",
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": f"{SECURITY}.scram.ScramLoginModule required;",
            "listener.name.plain.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.plain.plain.sasl.jaas.config":
                f'{SECURITY}.plain.PlainLoginModule required user_alice="{PASSWORD}";',
            "listener.name.bearer.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.bearer.oauthbearer.sasl.jaas.config":
                f"{SECURITY}.oauthbearer.OAuthBearerLoginModule required;",
        },
        listeners={"TLS": "SSL", "SCRAM": "SASL_SSL", "PLAIN": "SASL_PLAINTEXT", "BEARER": "SASL_PLAINTEXT"},
        format_arguments=[
            argument
            for user in ("alice", "nobody", "reader")
            for argument in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={PASSWORD}]")
        ],
    )  # fmt: skip


def test_listeners_and_what_goes_wrong(start_broker: StartBroker, tmp_path: Path) -> None:
    require_java()
    store, pem = certificate(tmp_path)
    broker = secured(start_broker, store)
    asyncio.run(load(broker.bootstrap, 200, 0, 0))
    program = tmp_path / "Grant.java"
    program.write_text(GRANT, encoding="utf-8")
    run_java(program, broker.classpath, broker.bootstrap)

    def scram(user: str, password: str = PASSWORD, mechanism: str = "SCRAM-SHA-512") -> list[str]:
        return [
            "security.protocol=SASL_SSL", f"sasl.mechanism={mechanism}", f"ssl.truststore.location={pem}",
            "ssl.truststore.type=PEM",
            f'sasl.jaas.config={SECURITY}.scram.ScramLoginModule required username="{user}" \\\n'
            f'    password="{password}";',
        ]  # fmt: skip

    tls = ["security.protocol=SSL", f"ssl.truststore.location={pem}"]
    plain = ["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=PLAIN", "sasl.username=alice"]
    bearer = [
        "security.protocol=SASL_PLAINTEXT", "sasl.mechanism=OAUTHBEARER",
        f'sasl.jaas.config={SECURITY}.oauthbearer.OAuthBearerLoginModule required '
        'unsecuredLoginStringClaim_sub="token-user";',
    ]  # fmt: skip

    def tail(listener: str, lines: list[str] | None, status: int = 0) -> subprocess.CompletedProcess[str]:
        server = listener if ":" in listener else broker.address(listener)
        options = () if lines is None else ("--command-config", properties(tmp_path / "client.properties", lines))
        done = offdecode("tail", "--bootstrap-server", server, "--until-end", *options, status=status)
        assert PASSWORD not in done.stdout + done.stderr
        return done

    rows = tail("PLAINTEXT", None).stdout
    assert rows.count("\n") == 200
    assert tail("TLS", tls).stdout == rows
    assert tail("SCRAM", scram("alice")).stdout == rows
    assert tail("SCRAM", scram("reader")).stdout == rows  # READ on the topic is enough
    assert tail("PLAIN", [*plain, f"sasl.password={PASSWORD}"]).stdout == rows
    assert tail("BEARER", bearer).stdout == rows

    for listener, lines, sentence in (
        ("SCRAM", scram("alice", "wrong"), "wrong name or password for SCRAM-SHA-512"),
        ("PLAIN", [*plain, "sasl.password=wrong"], "wrong name or password for PLAIN"),
        ("SCRAM", scram("alice", mechanism="SCRAM-SHA-256"), "the broker has no SASL mechanism SCRAM-SHA-256"),
        ("SCRAM", scram("nobody"), "no permission to read it: the user needs READ and DESCRIBE"),
        ("TLS", ["security.protocol=SSL"], "name its authority in ssl.truststore.location"),
        ("TLS", None, "security.protocol is PLAINTEXT, set it in --command-config"),
        ("PLAIN", None, "security.protocol is PLAINTEXT, set it in --command-config"),
        ("PLAINTEXT", tls, "set security.protocol to PLAINTEXT"),
        (f"127.0.0.1:{free_port()}", None, "nothing listens there"),
        ("no-such-host.invalid:9092", None, "there is no host of this name"),
    ):
        words = tail(listener, lines, status=2).stderr
        assert words.count("\n") == 1, words
        assert sentence in words
