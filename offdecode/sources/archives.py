"""Archives and compressed files to locations of what is in them. Nothing is unpacked beside the evidence.

What an archive stores as it is, is read where it lies. What is compressed cannot be read from the middle, so the
members that may be evidence, and no others, are unpacked into a nameless temporary file, in one pass.

A member is named ARCHIVE!/PATH, as Java names entries of its archives; so is the content of a compressed file. A
position in a problem is always a byte of what the problem names.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from offdecode.errors import SourceError
from offdecode.model import LARGEST_INT64, Problem
from offdecode.sources import tar, zip
from offdecode.sources.checkpoints import CHECKPOINT_FILES
from offdecode.sources.codecs import Codec, Damage, codec_of, iter_decompressed
from offdecode.sources.image_heads import IMAGE_HEAD_BYTES, looks_like_image
from offdecode.sources.locations import Location
from offdecode.sources.names import (
    ARCHIVE_SUFFIX,
    CLUSTER_TOPICS,
    COMPRESSED_SUFFIXES,
    IMAGE_NAME,
    INDEX_SUFFIXES,
    LEADER_EPOCHS,
    LEFTOVER_SEGMENT,
    LONGEST_NAME,
    META_PROPERTIES,
    PARTITION_DIRECTORY,
    PARTITION_METADATA,
    SEGMENT_NAME,
    SNAPSHOT_SUFFIX,
    is_packed,
    partition_directory,
)
from offdecode.sources.readers import Reader, WindowReader
from offdecode.sources.spool import Spool, SpoolReader

SEPARATOR = "!/"

_COMPRESSED_SUFFIX = re.compile(rf"(\.{ARCHIVE_SUFFIX}|{'|'.join(map(re.escape, COMPRESSED_SUFFIXES))})$")
_SIDE_FILES = {*CHECKPOINT_FILES.values(), META_PROPERTIES, PARTITION_METADATA}
_MOST_SIDE_BYTES = 64 << 20
_MOST_FILES = 200_000
_MOST_DIRECTORIES = 100_000  # of partitions
_LONGEST_PATH = 4096
_MOST_DEPTH = 64
_MOST_NESTED = 3  # archives in archives in an archive
_MOST_PROBLEMS = 100
_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _File:
    """Where a member's bytes lie: in a spool, or in the archive itself."""

    start: int
    size: int
    spool: Spool | None = None


@dataclass(slots=True)
class Archive:
    """The members of an archive that may be evidence. problems: what is wrong with it.

    topic: whose logs are. What lies beside them goes to the spool `aside`: the logs of the cluster's own topics, and of
    users' topics those that the archive stores as they are; user_logs: those that it compresses too. any_image: whether
    all that is named like an image of a disk is evidence, whatever it begins with; then nothing beside logs is.
    """

    outer: Location
    topic: str
    spool: Spool
    aside: Spool
    size: int = 0
    files: dict[str, _File] = field(default_factory=dict)
    directories: dict[str, dict[str, None]] = field(default_factory=lambda: {"": {}})
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    most_files: int = _MOST_FILES
    user_logs: bool = False
    any_image: bool = False
    cut: set[str] = field(default_factory=set)  # directories beside the logs of which something cannot be used
    beside: int = 0  # files there
    flat = True  # it may hold segments in no directory of a partition

    @property
    def root(self) -> Location:
        return MemberLocation(self, "")

    @property
    def members(self) -> list[Location]:
        """Its files."""
        return [MemberLocation(self, path) for path in sorted(self.files)]

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """The archive's bytes. That they cannot be read, or are others at the end, is a problem."""
        try:
            with self.outer.open() as reader:
                self.size = reader.size
                yield reader
                if (changed := reader.changed(self.size)) is not None:
                    self.problem("changed_while_read", self.outer.text, changed)
        except OSError as error:
            self.problem("unreadable", self.outer.text, f"cannot be read: {error.strerror}")

    def problem(self, kind: str, source: str, message: str, position: int | None = None) -> None:
        self.problem_count += 1
        if self.problem_count <= _MOST_PROBLEMS:
            self.problems.append(Problem(kind, source, message, position=position))

    def damaged(self, damage: Damage, source: str | None = None) -> None:
        self.problem("damaged_archive", source or self.outer.text, damage.reason, damage.position)

    def unused(self, name: str, reason: str) -> None:
        self.problem("unused_member", self.outer.text + SEPARATOR + printable(name.lstrip("/")), reason)

    def wanted(self, name: str, size: int, reason: str | None = None, *, stored: bool) -> str | None:
        """A member's path, where it may be evidence. reason: why it cannot be used; stored: as it is."""
        path = plain_path(name)
        parts = path.split("/")
        directory, base = ["", *parts][-2:]
        self.see("/".join(parts[:-1]))
        if is_packed(base):
            if self.outer.text.count(SEPARATOR) >= _MOST_NESTED:
                reason = "it is an archive or an image, in as many others as are looked into"
        elif base in _SIDE_FILES:
            if size > _MOST_SIDE_BYTES:
                return None
        elif not self._is_of_a_log(directory, base, stored=stored):
            return None
        beside = self._is_beside(path)
        if ".." in parts or len(parts) > _MOST_DEPTH:
            reason = "its name leads out of the archive" if ".." in parts else "it lies too deep"
        elif len(path) > _LONGEST_PATH:
            path, reason = path[:_LONGEST_PATH], f"its name is longer than {_LONGEST_PATH} characters"
        elif (self.beside if beside else len(self.files) - self.beside) >= self.most_files:
            reason = f"the archive holds more than {self.most_files} files of a log"
        if reason is not None:
            self._leave_out(path, reason)
        left_out = reason is not None or (beside and path.rpartition("/")[0] in self.cut)
        return None if left_out else path

    def _is_of_a_log(self, directory: str, base: str, *, stored: bool) -> bool:
        """Whether a name is that of a segment, of one that is left over, or of what a log's directory tells of it."""
        match = partition_directory(directory, self.topic)
        segment = SEGMENT_NAME.fullmatch(base) is not None
        if match is None:
            return segment or base == LEADER_EPOCHS
        if match["topic"] == self.topic:
            return segment or base == LEADER_EPOCHS or LEFTOVER_SEGMENT.fullmatch(base) is not None
        if self.any_image or match["leftover"]:
            return False
        if match["topic"] in CLUSTER_TOPICS:
            return segment or base.endswith(SNAPSHOT_SUFFIX)
        return (stored or self.user_logs) and (segment or base.endswith(INDEX_SUFFIXES))

    def _is_beside(self, path: str) -> bool:
        """Whether a file is of another topic's log."""
        directory, base = ["", "", *path.split("/")][-2:]
        match = partition_directory(directory, self.topic)
        return match is not None and match["topic"] != self.topic and not (base in _SIDE_FILES or is_packed(base))

    def _leave_out(self, path: str, reason: str) -> None:
        self._tell(path, reason)
        self.not_whole(path)

    def _tell(self, path: str, reason: str) -> None:
        """Nobody asks for what lies beside logs, but where user_logs says so: then it is told of that too."""
        if self.user_logs or not self._is_beside(path):
            self.unused(path, reason)

    def see(self, directory: str) -> None:
        """Note that a partition's directory is there, of whatever topic: a deleted one is evidence too."""
        path = plain_path(directory)
        parts = path.split("/")
        if len(parts[-1]) > LONGEST_NAME or not PARTITION_DIRECTORY.fullmatch(parts[-1]):
            return
        if ".." in parts or len(parts) >= _MOST_DEPTH or len(path) > _LONGEST_PATH:
            return
        if path not in self.directories and len(self.directories) < _MOST_DIRECTORIES:
            self.directories[path] = {}
            self._link(path)

    def add(self, path: str, file: _File) -> None:
        if path in self.files:
            self._tell(path, "a later member of the archive has the same name, and is read in its stead")
        elif self._is_beside(path):
            self.beside += 1
        self.files[path] = file
        self._link(path)

    def _link(self, path: str) -> None:
        """Enter a path in the directories above it."""
        while path:
            directory, _, name = path.rpartition("/")
            self.directories.setdefault(directory, {})[name] = None
            path = directory

    def keep(self, path: str, pieces: Iterator[bytes], size: int) -> bool:
        """Unpack a member as far as its bytes come; whether it is kept.

        What is merely named like an image of a disk may be anything, of any size: it is no evidence where it does not
        begin like one (but for any_image), and where there is no room for it, the rest of the archive is read.
        """
        beside, named_so = self._is_beside(path), IMAGE_NAME.fullmatch(path.rpartition("/")[2]) is not None
        spool = self.aside if beside else self.spool
        begin = spool.end
        try:
            if named_so and not self.any_image:
                head = _first(pieces, IMAGE_HEAD_BYTES)
                if not _may_hold_image(head, size):
                    return False
                pieces = chain((head,), pieces)
            for piece in pieces:
                spool.write(piece, self.outer.text)
        except Damage:
            self.add(path, _File(begin, spool.end - begin, spool))
            self.not_whole(path)
            raise
        except SourceError as full:
            if not (named_so or beside):
                raise
            spool.drop(begin)
            self._leave_out(path, full.reason)
            return False
        self.add(path, _File(begin, spool.end - begin, spool))
        return True

    def not_whole(self, path: str) -> None:
        """A log beside those of the topic that is not whole would tell what is not so: all of it will be left out."""
        if self._is_beside(path):
            self.cut.add(path.rpartition("/")[0])

    def finish(self) -> None:
        for directory in self.cut & self.directories.keys():
            for name in [*self.directories[directory]]:
                if self._is_beside(path := f"{directory}/{name}"):
                    self.files.pop(path, None)
                    del self.directories[directory][name]
        if self.problem_count > _MOST_PROBLEMS:
            left = self.problem_count - _MOST_PROBLEMS
            message = f"{left} more members cannot be used, or places are damaged"
            self.problems.append(Problem("damaged_archive", self.outer.text, message))


def plain_path(name: str) -> str:
    """A member's name without what names nothing."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


class InsideLocation(Location):
    """A file or directory within another file: in an archive, on a disk, what a compressed file holds."""

    def __init__(self, outer: Location, path: str) -> None:
        self._outer = outer
        self._path = path

    @property
    def text(self) -> str:
        return self._outer.text + SEPARATOR + printable(self._path)

    @property
    def parent(self) -> Location:
        return self._outer.parent

    @property
    def key(self) -> str:
        return self._outer.identity + SEPARATOR + self._path

    @property
    def container(self) -> Location | None:
        return self._outer

    @property
    def survives_fork(self) -> bool:
        return self._outer.survives_fork

    @property
    def version(self) -> object:
        return self._outer.version


class MemberLocation(InsideLocation):
    """A file or directory in an archive; "" is all of it."""

    def __init__(self, archive: Archive, path: str) -> None:
        super().__init__(archive.outer, path)
        self._archive = archive

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2] or content_name(self._outer)

    @property
    def parent(self) -> Location:
        if not self._path:
            return super().parent
        return MemberLocation(self._archive, self._path.rpartition("/")[0])

    def exists(self) -> bool:
        return self.is_file() or self.is_directory()

    def is_file(self) -> bool:
        return self._path in self._archive.files

    def is_directory(self) -> bool:
        return self._path in self._archive.directories and not self.is_file()

    def child(self, name: str) -> Location:
        return MemberLocation(self._archive, f"{self._path}/{name}" if self._path else name)

    def names(self) -> list[str]:
        return sorted(self._archive.directories[self._path])

    def open(self) -> Reader:
        archive, file = self._archive, self._archive.files[self._path]
        if file.spool is not None:
            return SpoolReader(file.spool, file.start, file.size)
        return WindowReader(archive.outer.open(), file.start, file.size, archive.size)


class ContentLocation(InsideLocation):
    """All that a file holds, as one file under the name `path`. It lies where the file lies."""

    def __init__(self, outer: Location, path: str, reader: Callable[[], Reader]) -> None:
        super().__init__(outer, path)
        self._reader = reader

    @property
    def name(self) -> str:
        return self._path

    def exists(self) -> bool:
        return True

    def is_file(self) -> bool:
        return True

    def is_directory(self) -> bool:
        return False

    def child(self, name: str) -> Location:
        raise NotADirectoryError(self.text)

    def names(self) -> list[str]:
        raise NotADirectoryError(self.text)

    def open(self) -> Reader:
        return self._reader()


def content_name(file: Location) -> str:
    """The name of what a compressed file or an archive holds."""
    return _COMPRESSED_SUFFIX.sub("", file.name) or file.name


def printable(name: str) -> str:
    """A member's name as text that every output can hold."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def unpack_file(file: Location, codec: Codec, spool: Spool) -> tuple[ContentLocation, list[Problem]]:
    """What a compressed file holds, and what is wrong with it."""
    start = spool.end
    problems: list[Problem] = []
    try:
        with file.open() as reader:
            for piece in iter_decompressed(reader, codec):
                spool.write(piece, file.text)
    except Damage as damage:
        problems = [Problem("damaged_archive", file.text, damage.reason, position=damage.position)]
    opened = partial(SpoolReader, spool, start, spool.end - start)
    return ContentLocation(file, content_name(file), opened), problems


def head_within(reader: Reader, codec: Codec, size: int) -> bytes:
    """The first bytes that a compressed file holds, as many as can be had."""
    head = b""
    with suppress(Damage):
        for piece in iter_decompressed(reader, codec):
            head += piece
            if len(head) >= size:
                break
    return head[:size]


def _first(pieces: Iterator[bytes], size: int) -> bytes:
    """Pieces of so many bytes together at least, where there are so many."""
    head = b""
    while len(head) < size and (piece := next(pieces, None)) is not None:
        head += piece
    return head


def _may_hold_image(head: bytes, size: int) -> bool:
    """Whether a file of a size begins like an image of a disk, like a compressed one, or like an archive after all."""
    return codec_of(head) is not None or looks_like_image(head, size) or tar.is_tar(head) or zip.is_zip(head)


def read_tar(archive: Archive, codec: Codec | None) -> Archive:
    """With the members of a tar archive, compressed by a codec or not."""
    with archive.reading() as reader:
        if codec is None:
            _read_tar(archive, _ReaderStream(reader), reader)
        else:
            pieces = _PieceStream(iter_decompressed(reader, codec))
            _read_tar(archive, pieces, None)
            if pieces.damage is not None:
                archive.damaged(pieces.damage)
    archive.finish()
    return archive


def _read_tar(archive: Archive, stream: tar.Stream, reader: Reader | None) -> None:
    """reader: of the archive itself, where it is not compressed."""
    members = tar.TarMembers(stream)
    before, damages = "", 0
    for member in members:
        here = plain_path(member.name)
        if len(members.damaged) > damages:  # other members may have been there
            damages = len(members.damaged)
            archive.not_whole(before)
            archive.not_whole(here)
        before = here
        if member.kind == "directory":
            archive.see(member.name)
            continue
        if member.kind == "hard link":
            _take_name(archive, member, stored=reader is not None)
            continue
        reason = None if member.kind == "file" else "it is a link or a special file, which are not followed"
        path = archive.wanted(member.name, member.size, reason, stored=reader is not None)
        if path is not None and (short := member.size - _take(archive, path, member, stream, reader)):
            reason = f"the archive ends inside the member {printable(path)}; {short} bytes of it are not there"
            members.damaged.append(Damage(member.position, reason))
            break
    if members.damaged:
        archive.not_whole(before)
    inner = archive.outer.text if reader is not None else archive.outer.text + SEPARATOR + content_name(archive.outer)
    for found in members.damaged:
        archive.damaged(found, inner)


def _take_name(archive: Archive, member: tar.TarMember, *, stored: bool) -> None:
    """Another name of a member before it: some tools make such of what a backup has in common with an earlier one."""
    target = plain_path(member.target)
    file = archive.files.get(target)
    reason = None if file else f"it is a link to {printable(target)}, of which nothing is kept before it"
    path = archive.wanted(member.name, file.size if file else 0, reason, stored=stored)
    if path is not None and file is not None:
        archive.add(path, file)
        if target.rpartition("/")[0] in archive.cut:
            archive.not_whole(path)


def _take(archive: Archive, path: str, member: tar.TarMember, stream: tar.Stream, reader: Reader | None) -> int:
    """Keep a member; how many bytes of it there are."""
    if reader is not None:
        size = max(min(member.size, reader.size - member.position), 0)
        archive.add(path, _File(member.position, size))
        return size
    start = stream.position
    return stream.position - start if archive.keep(path, _pieces(stream, member.size), member.size) else member.size


def _pieces(stream: tar.Stream, size: int) -> Iterator[bytes]:
    """The next so many bytes, as far as there are any."""
    while data := stream.read(min(size, _COPY_BYTES)):
        size -= len(data)
        yield data


class _ReaderStream:
    """A file as a stream."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.position = 0

    def read(self, size: int) -> bytes:
        data = self._reader.read(self.position, size)
        self.position += len(data)
        return data

    def skip(self, size: int) -> None:
        self.position = min(self.position + size, self._reader.size)


class _PieceStream:
    """Pieces as a stream, which ends where they are damaged."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")
        self.position = 0
        self.damage: Damage | None = None

    def read(self, size: int) -> bytes:
        parts = list(self._take(size))
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def skip(self, size: int) -> None:
        for _ in self._take(size):
            pass

    def _take(self, size: int) -> Iterator[memoryview]:
        while size:
            if not self._piece:
                try:
                    self._piece = memoryview(next(self._pieces, b""))
                except Damage as damage:
                    self.damage = damage
                if not self._piece:
                    return
            part, self._piece = self._piece[:size], self._piece[size:]
            self.position += len(part)
            size -= len(part)
            yield part


def read_zip(archive: Archive) -> Archive:
    """With the members of a zip archive."""
    with archive.reading() as reader:
        try:
            for member in zip.iter_members(reader):
                _take_zipped(archive, member, reader)
        except Damage as damage:
            archive.damaged(damage)
            for member in zip.iter_by_headers(reader):
                if "/".join(member.name.split("/")) not in archive.files:
                    _take_zipped(archive, member, reader)
    archive.finish()
    return archive


def _take_zipped(archive: Archive, member: zip.ZipMember, reader: Reader) -> None:
    name = member.name.replace("\\", "/")
    if name.endswith("/"):
        archive.see(name)
        return
    reason = "it is encrypted" if member.encrypted else "it is a link, which are not followed" if member.link else None
    if member.method != zip.STORED and member.method not in zip.CODECS:
        reason = reason or f"it is compressed by method {member.method} of zip, which offdecode does not know"
    path = archive.wanted(name, member.size or 0, reason, stored=member.method == zip.STORED)
    if path is None:
        return
    try:
        start = zip.data_position(reader, member)
        room = max(reader.size - start, 0)
        size = room if member.stored_size is None else min(member.stored_size, room)
        if member.method == zip.STORED:
            archive.add(path, _File(start, size))
            short = (member.size or 0) - size
            if short > 0:
                archive.not_whole(path)
                raise Damage(member.position, f"{short} bytes of the member {printable(path)} are not there")
            return
        _unpack_member(archive, path, member, WindowReader(reader, start, size, archive.size), start)
    except Damage as damage:
        archive.damaged(damage)


def _unpack_member(archive: Archive, path: str, member: zip.ZipMember, data: Reader, start: int) -> None:
    checksum = 0

    def pieces() -> Iterator[bytes]:
        nonlocal checksum
        for piece in iter_decompressed(data, zip.CODECS[member.method]):
            checksum = zlib.crc32(piece, checksum)
            yield piece

    try:
        kept = archive.keep(path, pieces(), LARGEST_INT64 if member.size is None else member.size)
    except Damage as damage:
        raise Damage(start + damage.position, f"the member {printable(path)}: {damage.reason}") from None
    if kept and member.checksum is not None and checksum != member.checksum:
        raise Damage(member.position, f"the checksum of the member {printable(path)} is wrong")
