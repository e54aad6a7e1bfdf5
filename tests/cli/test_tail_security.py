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

pytestmark = [pytest.mark.broker, pytest.mark.slow]

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


PEM = """
import java.io.*;
import java.security.*;
import java.util.*;
class Pem {
    static void show(String what, byte[] data) {
        System.out.println("-----BEGIN " + what + "-----");
        System.out.println(Base64.getMimeEncoder(64, new byte[] {10}).encodeToString(data));
        System.out.println("-----END " + what + "-----");
    }
    public static void main(String[] args) throws Exception {
        var password = args[2].toCharArray();
        var store = KeyStore.getInstance(new File(args[0]), password);
        show("CERTIFICATE", store.getCertificate(args[1]).getEncoded());
        show("PRIVATE KEY", store.getKey(args[1], password).getEncoded());
    }
}
"""


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A keystore with a key of this name, and its certificate as PEM."""
    store, pem = folder / f"{name}.p12", folder / f"{name}.pem"
    access = ["-alias", name, "-keystore", str(store), "-storepass", PASSWORD]
    subprocess.run(
        ["keytool", "-genkeypair", *access, "-storetype", "PKCS12", "-keyalg", "EC", "-dname", f"CN={name}",
         "-ext", "san=ip:127.0.0.1", "-validity", "30"], check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(["keytool", "-exportcert", "-rfc", *access, "-file", str(pem)], check=True, capture_output=True)
    return store, pem


def program(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.java"
    path.write_text(text, encoding="utf-8")
    return path


def secured(start_broker: StartBroker, store: Path, clients: Path) -> Broker:
    """clients: the certificate that users of the listener MTLS must show."""
    return start_broker(
        KAFKA_4,
        {
            "ssl.keystore.location": str(store),
            "ssl.keystore.password": PASSWORD,
            "ssl.keystore.type": "PKCS12",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:alice;User:token-user;User:CN=client",
            "listener.name.mtls.ssl.client.auth": "required",
            "listener.name.mtls.ssl.truststore.type": "PEM",
            "listener.name.mtls.ssl.truststore.location": str(clients),
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": f"{SECURITY}.scram.ScramLoginModule required;",
            "listener.name.plain.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.plain.plain.sasl.jaas.config":
                f'{SECURITY}.plain.PlainLoginModule required user_alice="{PASSWORD}";',
            "listener.name.bearer.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.bearer.oauthbearer.sasl.jaas.config":
                f"{SECURITY}.oauthbearer.OAuthBearerLoginModule required;",
        },
        listeners={
            "TLS": "SSL", "MTLS": "SSL", "SCRAM": "SASL_SSL", "PLAIN": "SASL_PLAINTEXT", "BEARER": "SASL_PLAINTEXT",
        },
        format_arguments=[
            argument
            for user in ("alice", "nobody", "reader")
            for argument in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={PASSWORD}]")
        ],
    )  # fmt: skip


def test_listeners_and_what_goes_wrong(start_broker: StartBroker, tmp_path: Path) -> None:
    require_java()
    store, pem = certificate(tmp_path, "broker")
    client_store, client_pem = certificate(tmp_path, "client")
    broker = secured(start_broker, store, client_pem)
    asyncio.run(load(broker.bootstrap, 200, 0, 0))
    run_java(program(tmp_path, "Grant", GRANT), broker.classpath, broker.bootstrap)
    own = tmp_path / "own.pem"
    own.write_text(run_java(program(tmp_path, "Pem", PEM), "", str(client_store), "client", PASSWORD), "ascii")

    def scram(user: str, password: str = PASSWORD, mechanism: str = "SCRAM-SHA-512") -> list[str]:
        return [
            "security.protocol=SASL_SSL", f"sasl.mechanism={mechanism}", f"ssl.truststore.location={pem}",
            "ssl.truststore.type=PEM",
            f'sasl.jaas.config={SECURITY}.scram.ScramLoginModule required username="{user}" \\\n'
            f'    password="{password}";',
        ]  # fmt: skip

    tls = ["security.protocol=SSL", f"ssl.truststore.location={pem}"]
    mutual = [*tls, "ssl.keystore.type=PEM", f"ssl.keystore.location={own}"]
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
    assert tail("MTLS", mutual).stdout == rows
    assert tail("SCRAM", scram("alice")).stdout == rows
    assert tail("SCRAM", scram("reader")).stdout == rows  # READ on the topic is enough
    assert tail("PLAIN", [*plain, f"sasl.password={PASSWORD}"]).stdout == rows
    assert tail("BEARER", bearer).stdout == rows

    # The same listeners and files for every command.
    config = properties(tmp_path / "reader.properties", scram("reader"))
    named = offdecode("decode", f"kafka://{broker.address('SCRAM')}?command-config={config}", "--with-batch")
    assert named.stdout.count("\n") == 200
    assert str(config) not in named.stdout
    refused = offdecode("groups", f"kafka://{broker.address('SCRAM')}", status=2)
    assert "security.protocol is PLAINTEXT, set it in --command-config" in refused.stderr

    for listener, lines, sentence in (
        ("SCRAM", scram("alice", "wrong"), "wrong name or password for SCRAM-SHA-512"),
        ("PLAIN", [*plain, "sasl.password=wrong"], "wrong name or password for PLAIN"),
        ("SCRAM", scram("alice", mechanism="SCRAM-SHA-256"), "the broker has no SASL mechanism SCRAM-SHA-256"),
        ("SCRAM", scram("nobody"), "no permission to read it: the user needs READ and DESCRIBE"),
        ("SCRAM", tls, "or a user (security.protocol SASL_SSL)"),
        ("MTLS", tls, "wants the client's own certificate: ssl.keystore.location"),
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
