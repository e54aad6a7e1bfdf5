"""An object store of one's own: the files of a folder by the part of S3's protocol that reading takes.

    python -m tests.bench.object_store FOLDER PORT MILLISECONDS

Each request waits so long before it is answered, as one over a distance would. Buckets are the folder's directories;
plain HTTP with ranges is the same without a query.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_MOST_KEYS = 1000  # in a page of a listing, as S3 has it


class ObjectStore(BaseHTTPRequestHandler):
    """Answers HEAD, GET with or without a range, and ListObjectsV2."""

    protocol_version = "HTTP/1.1"
    folder: Path
    seconds: float

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        time.sleep(self.seconds)
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        path = self.folder / unquote(parts.path).strip("/")
        if "list-type" in query:
            self._list(path, query)
        elif path.is_file():
            self._file(path, with_body=with_body)
        else:
            self.send_response(200 if path.is_dir() and path.parent == self.folder else 404)  # a bucket is there
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _file(self, path: Path, *, with_body: bool) -> None:
        size = path.stat().st_size
        first, last = 0, size - 1
        if wanted := self.headers.get("Range"):
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(end or last), last)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"0"')
        self.send_header("Last-Modified", "Sun, 01 Nov 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        if with_body:
            with path.open("rb") as file:
                self.wfile.flush()
                while first <= last:
                    first += os.sendfile(self.connection.fileno(), file.fileno(), first, last + 1 - first)

    def _list(self, bucket: Path, query: dict[str, list[str]]) -> None:
        prefix = query.get("prefix", [""])[0]
        place = bucket / prefix
        found = sorted(os.scandir(place), key=lambda one: one.name) if place.is_dir() else []
        first = int(query.get("continuation-token", ["0"])[0])
        told = []
        for one in found[first : first + _MOST_KEYS]:
            key = escape(f"{prefix}{one.name}")
            told.append(
                f"<CommonPrefixes><Prefix>{key}/</Prefix></CommonPrefixes>" if one.is_dir()
                else f"<Contents><Key>{key}</Key><Size>{one.stat().st_size}</Size><ETag>\"0\"</ETag>"
                "<LastModified>2026-11-01T00:00:00.000Z</LastModified></Contents>"
            )  # fmt: skip
        rest = first + _MOST_KEYS < len(found)
        more = f"<NextContinuationToken>{first + _MOST_KEYS}</NextContinuationToken>" if rest else ""
        body = (
            f'<?xml version="1.0"?><ListBucketResult><Name>{bucket.name}</Name><IsTruncated>{str(rest).lower()}'
            f"</IsTruncated>{more}<KeyCount>{len(told)}</KeyCount>{''.join(told)}</ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *arguments: object) -> None:
        pass


def main(folder: str, port: str, milliseconds: str) -> None:
    ObjectStore.folder = Path(folder)
    ObjectStore.seconds = int(milliseconds) / 1000
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), ObjectStore)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
