"""Texts that are joined row by row: constants, columns of few distinct texts, and others.

Joining costs per piece, whatever its length. So constants are put into their neighbours' distinct texts, and
neighbouring columns of few distinct texts become one where their combinations are few too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.model import arrow, text_ends

_ROWS_PER_COMBINATION = 4  # combining pays while each combination serves so many rows


@dataclass(frozen=True, slots=True)
class Coded:
    """One of a few distinct texts in each row: index of it. No nulls."""

    indices: pa.Array
    texts: pa.Array

    def wrapped(self, before: str, after: str) -> Coded:
        return Coded(self.indices, pc.binary_join_element_wise(before, self.texts, after, ""))

    def followed_by(self, other: Coded) -> Coded:
        """Both as one, with a text for every combination."""
        width = len(other.texts)
        code = self.indices.to_numpy().astype(np.int32) * np.int32(width) + other.indices.to_numpy()
        first = self.texts.take(arrow(np.repeat(np.arange(len(self.texts)), width)))
        second = other.texts.take(arrow(np.tile(np.arange(width), len(self.texts))))
        return Coded(arrow(code), pc.binary_join_element_wise(first, second, ""))


@dataclass(frozen=True, slots=True)
class Lists:
    """In each row the texts of a list's elements, with commas between them. No nulls.

    elements: of all rows, one after the other. ends: where those of the first row begin, and of each row end; the
    first is 0 and the last their number.
    """

    elements: Coded
    ends: npt.NDArray[np.int32]

    def between(self, before: pa.Array, after: pa.Array) -> pa.Array:
        """One text a row with what stands before and after its list: each element's text is copied but once."""
        count, lengths = len(before), np.diff(self.ends)
        rows = np.arange(count, dtype=np.int32)
        starts = 2 * self.ends + 2 * np.arange(count + 1, dtype=np.int32)  # an element and what is before it: two texts
        comma, nothing, first = 2 * count + np.arange(3, dtype=np.int32)
        number = np.full(starts[-1], comma)
        number[starts[:-1]], number[starts[1:] - 1] = rows, rows + np.int32(count)
        number[starts[:-1][lengths > 0] + 1] = nothing
        at = 2 * np.arange(self.ends[-1]) + 2 + 2 * np.repeat(rows, lengths)
        number[at] = self.elements.indices.to_numpy() + first
        texts = pa.concat_arrays([before, after, pa.array([",", ""]), self.elements.texts]).take(arrow(number))
        return pa.StringArray.from_buffers(count, arrow(text_ends(texts)[starts]).buffers()[1], texts.buffers()[2])


Piece: TypeAlias = str | Coded | Lists | pa.Array


def as_strings(piece: Piece, count: int) -> pa.Array:
    """A piece as a string array."""
    if isinstance(piece, Lists):
        nothing = as_strings("", count)
        return piece.between(nothing, nothing)
    if isinstance(piece, str):
        return pa.repeat(pa.scalar(piece, pa.string()), count)
    if isinstance(piece, Coded):
        return pa.DictionaryArray.from_arrays(piece.indices, piece.texts).cast(pa.string())
    return piece


class Pieces:
    """Collects the pieces of `count` rows and joins them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pieces: list[Piece] = []
        self._constant = ""  # what follows the last piece

    def add(self, piece: Piece) -> None:
        if isinstance(piece, str):
            self._constant += piece
            return
        last = self._pieces[-1] if self._pieces else None
        if isinstance(piece, Coded):
            if isinstance(last, Coded) and len(last.texts) * len(piece.texts) * _ROWS_PER_COMBINATION <= self._count:
                self._pieces[-1] = last.wrapped("", self._take_constant()).followed_by(piece)
            else:
                self._pieces.append(piece.wrapped(self._take_constant(), ""))
            return
        if isinstance(last, Coded):
            self._pieces[-1] = last.wrapped("", self._take_constant())
        elif self._constant:
            self._pieces.append(self._take_constant())
        self._pieces.append(piece)

    def _take_constant(self) -> str:
        constant, self._constant = self._constant, ""
        return constant

    def joined(self) -> pa.Array:
        """One text a row."""
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, Coded):
            self._pieces[-1] = last.wrapped("", self._take_constant())
        pieces = [*self._pieces, self._constant]
        for place, piece in enumerate(pieces):
            if isinstance(piece, Lists):
                return piece.between(self._join(pieces[:place]), self._join(pieces[place + 1 :]))
        return self._join(pieces)

    def _join(self, pieces: list[Piece]) -> pa.Array:
        if len(pieces) < 2:
            return as_strings(pieces[0] if pieces else "", self._count)
        texts = [piece if isinstance(piece, str) else as_strings(piece, self._count) for piece in pieces]
        return pc.binary_join_element_wise(*texts, "")
