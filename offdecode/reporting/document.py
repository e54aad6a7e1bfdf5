"""A page that is made: what Python has of it."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

from offdecode.errors import UsageError
from offdecode.evidence import touches_evidence
from offdecode.options import PathLike
from offdecode.sinks.files import complete_file


class Page:
    """An HTML file. A notebook shows it where it stands. html: its text."""

    def __init__(self, data: bytes, evidence: tuple[Path, ...]) -> None:
        self._data = data
        self._evidence = evidence

    @property
    def html(self) -> str:
        return self._data.decode()

    def save(self, path: PathLike) -> None:
        """Write the file. Raises UsageError where that cannot be, or would write over the evidence."""
        if touches_evidence(Path(os.path.realpath(path)), self._evidence):
            raise UsageError(f"{path}: the input is never written to")
        try:
            with complete_file(Path(path)) as stream:
                stream.write(self._data)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from None

    def _repr_html_(self) -> str:
        """The page in a frame of its own: its style and scripts keep to themselves."""
        inner = escape(self.html, quote=True)
        return f'<iframe sandbox="allow-scripts" width="100%" height="900" frameborder="0" srcdoc="{inner}"></iframe>'
