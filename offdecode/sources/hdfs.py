"""Files in HDFS as fsspec and pyarrow have them: by Hadoop's libhdfs, which begins a Java machine in this process."""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from typing import Any

from fsspec.implementations.arrow import HadoopFileSystem
from pyarrow.fs import FileSelector

from offdecode.errors import SourceError

_PATIENCE_SECONDS = 10
_NEEDED = (
    "hdfs:// needs Java (JAVA_HOME), Hadoop's libhdfs.so (ARROW_LIBHDFS_DIR or HADOOP_HOME) "
    'and CLASSPATH="$(hadoop classpath --glob)"'
)


def name_node(url: str, process: int) -> tuple[Hadoop, str]:
    """A process's connection to the name node of a URL, and the path there. Raises SourceError where there is none."""
    return _connection(process, **Hadoop._get_kwargs_from_urls(url)), Hadoop._strip_protocol(url) or "/"


@lru_cache
def _connection(process: int, **options: Any) -> Hadoop:
    host, port = options.get("host", ""), options.get("port")
    name = f"hdfs://{host}" if port is None else f"hdfs://{host}:{port}"
    if not os.environ.get("CLASSPATH"):  # libhdfs would crash
        raise SourceError(name, _NEEDED)
    if port is not None:  # a name without one is for Hadoop's configuration to explain
        try:  # Hadoop would print pages of Java's stack, and wait for a quarter of an hour
            socket.create_connection((host, port), _PATIENCE_SECONDS).close()
        except OSError as error:
            raise SourceError(name, f"cannot be connected to: {error.strerror or error}") from None
    java = os.environ.get("LIBHDFS_OPTS", "")
    if "-Xrs" not in java.split():  # SIGINT and SIGTERM stay ours, so that no file is left half written
        os.environ["LIBHDFS_OPTS"] = f"{java} -Xrs".strip()
    try:
        return Hadoop(**options, skip_instance_cache=True)
    except OSError as error:  # a SourceError is not tried again: libhdfs may crash the second time
        reason = str(error).splitlines()[0]
        if reason.startswith("Unable to load"):
            raise SourceError(name, f"{reason.replace('Unable to', 'cannot', 1)}: {_NEEDED}") from None
        raise SourceError(name, f"cannot be connected to: {reason}") from None


class Hadoop(HadoopFileSystem):  # type: ignore[misc]
    """What fails is not taken for a missing file, and the beginning of a file can be read."""

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        try:
            return dict(super().info(path, **kwargs))
        except FileNotFoundError:  # pyarrow says so of every failure; listing tells which it is
            self.fs.get_file_info(FileSelector(self._strip_protocol(path)))
            raise

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """From a start of 0 fsspec's own reads as a stream, and then seeks in it, which fails."""
        with self.fs.open_input_file(self._strip_protocol(path)) as file:
            begin = start or 0
            return bytes(file.read_at((file.size() if end is None else end) - begin, begin))
