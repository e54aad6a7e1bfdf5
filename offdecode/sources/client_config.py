"""A client's properties file, as Kafka's tools take it, to what a connection needs. Secrets never leave this object.

Keys are those of Kafka's clients (SslConfigs, SaslConfigs) and the few that librdkafka names otherwise.
"""

from __future__ import annotations

import base64
import re
import ssl
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from offdecode.errors import UsageError

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_TOKEN_SECONDS = 3600
_SERVER = re.compile(r"(?:[\w-]+(?:\.[\w-]+)*\.?|\[[0-9a-fA-F:.]+\])(?::(\d{1,5}))?", re.ASCII)
_USUAL_PORT, _LARGEST_PORT = 9092, 65_535
_JAAS_OPTION = re.compile(r"(\w+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|([^\s;\"']+))")


@dataclass(frozen=True, slots=True)
class Security:
    """How to reach a broker. token_file or token_subject: where OAUTHBEARER's token comes from."""

    protocol: str = "PLAINTEXT"
    ssl_context: ssl.SSLContext | None = None
    mechanism: str = "PLAIN"
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    token_subject: str | None = None

    @property
    def tls(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def sasl(self) -> bool:
        return self.protocol.startswith("SASL_")

    def token(self) -> str:
        """OAUTHBEARER's token: read anew each time, as files with tokens are replaced; or an unsecured one."""
        if self.token_file is not None:
            return self.token_file.read_text("utf-8").strip()
        now = int(time.time())
        claims = {"sub": self.token_subject, "iat": now, "exp": now + _TOKEN_SECONDS}
        parts = (orjson.dumps({"alg": "none"}), orjson.dumps(claims))
        return "".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() + "." for part in parts)


def are_servers(text: str) -> bool:
    """Whether a text is HOST:PORT, or several of these with commas between. Without a port it is the usual one."""
    found = [_SERVER.fullmatch(one.strip()) for one in text.split(",") if one.strip()]
    return bool(found) and all(one is not None and 0 < int(one[1] or _USUAL_PORT) <= _LARGEST_PORT for one in found)


def read_security(path: Path) -> Security:
    """The security settings of a properties file; other keys are passed over. Raises UsageError."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise UsageError(f"{path}: cannot be read: {reason}") from None
    try:
        return _security(parse_properties(text))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def parse_properties(text: str) -> dict[str, str]:
    """java.util.Properties: comments, `=`, `:` or space, continued lines, escapes."""
    found: dict[str, str] = {}
    joined = re.sub(r"(?<!\\)((?:\\\\)*)\\\r?\n[ \t\f]*", r"\1", text)
    for line in joined.splitlines():
        line = line.strip()
        if not line or line[0] in "#!":
            continue
        match = re.fullmatch(r"((?:\\.|[^\s=:\\])+)\s*[=:]?\s*(.*)", line, re.DOTALL)
        if match:
            found[_unescape(match[1])] = _unescape(match[2])
    return found


def _unescape(text: str) -> str:
    named = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}

    def plain(match: re.Match[str]) -> str:
        return chr(int(match[1], 16)) if match[1] else named.get(match[2], match[2])

    return re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", plain, text)


def _security(properties: dict[str, str]) -> Security:
    protocol = properties.get("security.protocol", "PLAINTEXT").upper()
    if protocol not in PROTOCOLS:
        raise UsageError(f"security.protocol is {protocol!r}; it must be one of {', '.join(PROTOCOLS)}")
    context = _ssl_context(properties) if protocol.endswith("SSL") else None
    if not protocol.startswith("SASL_"):
        return Security(protocol, context)
    # `sasl.mechanisms` is librdkafka's spelling, and so are sasl.username and sasl.password.
    mechanism = properties.get("sasl.mechanism", properties.get("sasl.mechanisms", "")).upper()
    if mechanism not in MECHANISMS:
        raise UsageError(f"sasl.mechanism is {mechanism!r}; offdecode has {', '.join(MECHANISMS)}")
    jaas = _jaas_options(properties.get("sasl.jaas.config", ""))
    if mechanism == "OAUTHBEARER":
        return _bearer(protocol, context, properties, jaas)
    username = jaas.get("username", properties.get("sasl.username"))
    password = jaas.get("password", properties.get("sasl.password"))
    if username is None or password is None:
        raise UsageError(f"{mechanism} needs a user: sasl.jaas.config with username and password, or sasl.username and "
                         "sasl.password")  # fmt: skip
    return Security(protocol, context, mechanism, username, password)


def _bearer(
    protocol: str, context: ssl.SSLContext | None, properties: dict[str, str], jaas: dict[str, str]
) -> Security:
    url = properties.get("sasl.oauthbearer.token.endpoint.url", "")
    if url.startswith("file:"):
        return Security(protocol, context, "OAUTHBEARER", token_file=Path(re.sub("^file:(//)?", "", url)))
    subject = jaas.get("unsecuredLoginStringClaim_sub")
    if subject is None:
        raise UsageError(
            "OAUTHBEARER needs a token in a file: sasl.oauthbearer.token.endpoint.url=file:///PATH "
            "(offdecode asks no token service)"
        )
    return Security(protocol, context, "OAUTHBEARER", token_subject=subject)


def _jaas_options(config: str) -> dict[str, str]:
    """The options of a login module: `Module required username="u" password="p";`."""
    options: dict[str, str] = {}
    for name, *values in _JAAS_OPTION.findall(config):
        options[name] = re.sub(r"\\(.)", r"\1", next((value for value in values if value), ""))
    return options


def _ssl_context(properties: dict[str, str]) -> ssl.SSLContext:
    authorities = properties.get("ssl.truststore.certificates") or _pem(
        properties, "ssl.truststore", "ssl.ca.location", "CERTIFICATE"
    )
    try:
        context = ssl.create_default_context(cadata=authorities)
    except ssl.SSLError:
        raise UsageError("the certificates of ssl.truststore are no PEM certificates") from None
    # Empty switches the check of the host's name off (SslConfigs); librdkafka says `none`.
    if properties.get("ssl.endpoint.identification.algorithm", "https") in ("", "none"):
        context.check_hostname = False
    chain = properties.get("ssl.keystore.certificate.chain")
    key = properties.get("ssl.keystore.key")
    if chain is None or key is None:
        chain = _pem(properties, "ssl.keystore", "ssl.certificate.location", "CERTIFICATE")
        key = _pem(properties, "ssl.keystore", "ssl.key.location", "PRIVATE KEY")
    if chain is not None and key is not None:
        password = properties.get("ssl.key.password", "")
        with tempfile.NamedTemporaryFile("w") as file:  # readable by its owner only; ssl takes no text
            file.write(f"{chain}\n{key}\n")
            file.flush()
            try:
                context.load_cert_chain(file.name, password=password)
            except ssl.SSLError:
                raise UsageError("the certificate, its key and ssl.key.password do not fit together") from None
    return context


def _pem(properties: dict[str, str], store: str, other: str, content: str) -> str | None:
    """The PEM text of a store of Java's clients or a file of librdkafka's; None where neither is given."""
    for name in (f"{store}.location", other):
        location = properties.get(name)
        if location is None:
            continue
        try:
            data = Path(location).read_bytes()
        except OSError as error:
            raise UsageError(f"{name}: {location}: cannot be read: {error.strerror}") from None
        if b"-----BEGIN" not in data:
            raise UsageError(
                f"{name}: {location} is no PEM file; make one: keytool -exportcert -rfc (certificates) or "
                "openssl pkcs12 -nodes (key and certificates)"
            )
        if content.encode() not in data:
            raise UsageError(f"{name}: {location} has no {content.lower()} in it")
        return data.decode("ascii", "replace")
    return None
