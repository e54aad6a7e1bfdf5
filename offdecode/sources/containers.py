"""What a search has opened: archives and compressed files, each unpacked once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from offdecode.errors import SourceError
from offdecode.model import Problem
from offdecode.sources.codecs import HEAD_BYTES, Codec, codec_of
from offdecode.sources.image_heads import IMAGE_HEAD_BYTES, looks_like_image
from offdecode.sources.locations import LocalLocation, Location, is_live, is_standard_input, live_text, local_path
from offdecode.sources.names import SEGMENT_NAME

if TYPE_CHECKING:  # a plain directory needs none of what these import
    from offdecode.sources.archives import Archive, ContentLocation
    from offdecode.sources.disk_images import DiskImage
    from offdecode.sources.spool import Spool

T = TypeVar("T")

_ANY_SIZE = 1 << 62

Live = Callable[[str, str], Location]  # a running cluster's URL and the topic to its data directory


class Containers:
    """Archives and compressed files of one search. What it finds in them holds what it needs of them.

    user_logs, any_image: as of Archive.
    """

    def __init__(
        self, topic: str, live: Live | None = None, *, user_logs: bool = False, any_image: bool = False
    ) -> None:
        self._topic = topic
        self._user_logs = user_logs
        self._any_image = any_image
        self._live = live
        self._opened: dict[object, object] = {}
        self._both: tuple[Spool, Spool] | None = None
        self._directories: dict[str, Any] = {}  # on servers, by URL: each is listed once

    def location(self, path: Path) -> Location:
        """What a path names: `-` is standard input, a URL what lies there. A file of such a name goes first.

        Raises SourceError for a running cluster where only files are of use.
        """
        if is_standard_input(path):
            return self._standard_input()
        if (local := local_path(path)) is not None:
            return LocalLocation(local)
        if is_live(path):
            if self._live is None:
                raise SourceError(live_text(path.as_posix()), "is a running cluster; this is for files")
            live, url = self._live, path.as_posix()
            return self._known(("live", url), lambda: live(url, self._topic))
        from offdecode.sources.remote import remote_location  # most runs need none of what it imports

        return self._known(("remote", str(path)), lambda: remote_location(path.as_posix(), self._directories))

    def _standard_input(self) -> Location:
        from offdecode.sources.standard_input import StandardInput

        return self._known(("-", id(sys.stdin)), lambda: StandardInput(sys.stdin))

    def archive(self, file: Location) -> Archive | DiskImage | None:
        """The archive or image of a disk that a file is; None where it is none, or cannot be read. Raises as below."""
        try:
            return self.opened(file)
        except OSError:
            return None

    def opened(self, file: Location) -> Archive | DiskImage | None:
        """The archive or image of a disk that a file is; None where it is none. Raises OSError where it cannot be read.

        Raises SourceError for an image where the libraries that read images are missing.
        """
        from offdecode.sources.archives import Archive, head_within, read_tar, read_zip
        from offdecode.sources.tar import is_tar
        from offdecode.sources.zip import is_zip

        def new() -> Archive:
            return Archive(file, self._topic, *self._spools(), user_logs=self._user_logs, any_image=self._any_image)

        with file.open() as reader:
            head, size = reader.read(0, IMAGE_HEAD_BYTES), reader.size
            codec = codec_of(head[:HEAD_BYTES])
            within = head if codec is None else head_within(reader, codec, IMAGE_HEAD_BYTES)
        if codec is None and is_zip(head):
            return self._once(file, "zip", lambda: read_zip(new()))
        if is_tar(within):
            return self._once(file, "tar", lambda: read_tar(new(), codec))
        return None if SEGMENT_NAME.fullmatch(file.name) else self._image(file, codec, within, size)

    def _image(self, file: Location, codec: Codec | None, head: bytes, size: int) -> DiskImage | None:
        """The image of a disk that a file is, or that is compressed in it. head: of what is in it."""
        from offdecode.sources.disk_images import open_image

        if codec is None:
            return self._once(file, "image", lambda: open_image(file)) if looks_like_image(head, size) else None
        if not looks_like_image(head, _ANY_SIZE):
            return None
        content, problems = self.unpacked(file, codec)
        with content.open() as reader:
            size = reader.size
        if not looks_like_image(head, size):
            return None
        image = self._once(file, "image", lambda: open_image(content))
        image.problems = [*problems, *(one for one in image.problems if one not in problems)]
        return image

    def unpacked(self, file: Location, codec: Codec) -> tuple[ContentLocation, list[Problem]]:
        """What a compressed file holds. Raises OSError where it cannot be read."""
        from offdecode.sources.archives import unpack_file

        return self._once(file, "file", lambda: unpack_file(file, codec, self._spools()[0]))

    def _spools(self) -> tuple[Spool, Spool]:
        """For evidence, and for what lies beside it, which may not take the room of the other."""
        from offdecode.sources.spool import Spool

        if self._both is None:
            self._both = Spool(), Spool()
        return self._both

    def _once(self, file: Location, form: str, build: Callable[[], T]) -> T:
        return self._known((file.identity, file.version, form, self._topic), build)

    def _known(self, key: object, build: Callable[[], T]) -> T:
        if key not in self._opened:
            self._opened[key] = build()
        return self._opened[key]  # type: ignore[return-value]
