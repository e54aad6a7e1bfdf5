"""The one tree of errors: attributes first, the message is built from them."""

from __future__ import annotations

from collections.abc import Iterable


class OffdecodeError(Exception):
    """Base of every error that offdecode raises."""

    def __reduce__(self) -> tuple[object, ...]:
        # An error crosses from a worker process to the one that waits for it; its arguments are not `args`.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[OffdecodeError], args: tuple[object, ...], attributes: dict[str, object]) -> OffdecodeError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class UsageError(OffdecodeError):
    """What was asked for cannot be done as asked."""


class SourceError(OffdecodeError):
    """An input that cannot be opened or read, or that is not an offsets log."""

    def __init__(self, source: str, reason: str) -> None:
        self.source = source
        self.reason = reason
        super().__init__(f"{source}: {reason}")


class CorruptError(OffdecodeError):
    """Bytes that break their format.

    `position` is the byte inside the buffer that was being decoded, `path` the field being read.
    """

    def __init__(self, reason: str, *, position: int = 0, path: str = "") -> None:
        self.reason = reason
        self.position = position
        self.path = path
        super().__init__(f"{path}: {reason}" if path else reason)


class TruncatedError(CorruptError):
    """The bytes end inside a field."""


class LengthError(CorruptError):
    """A length or count that the bytes at hand cannot hold, or a null where none may be."""


class VarintError(CorruptError):
    """A variable-length integer without an end, or larger than its type."""


class TrailingBytesError(CorruptError):
    """Bytes are left after the last field."""


class DecompressionError(CorruptError):
    """A compressed batch that its codec refuses, or that grows beyond the limit."""


class UnsupportedError(OffdecodeError):
    """Well-formed bytes of a kind that offdecode does not know."""


class UnknownTypeError(UnsupportedError):
    """A key type that no table declares."""

    def __init__(self, key_type: int) -> None:
        self.key_type = key_type
        super().__init__(f"unknown key type {key_type}")


class UnknownVersionError(UnsupportedError):
    """A value version that the record's table does not declare."""

    def __init__(self, name: str, version: int) -> None:
        self.name = name
        self.version = version
        super().__init__(f"unknown version {version} of {name}")


class UnknownCodecError(UnsupportedError):
    """A compression codec number that Kafka does not define."""

    def __init__(self, codec: int) -> None:
        self.codec = codec
        super().__init__(f"unknown compression codec {codec}")


def near(name: str, among: Iterable[str]) -> str:
    """The names that are most like one that there is not, as "a or b"; empty where none is."""
    from difflib import get_close_matches  # nobody waits for it who has not erred

    return " or ".join(get_close_matches(name, list(among), 2))
