"""names: which names that were asked for are not in the evidence, and what is there instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from offdecode.filtering import Name, names_in, names_of
from offdecode.options import ALL_ROWS
from offdecode.run import Run

_NEAREST = 3
_MOST_COMPARED = 100_000  # names


class Missing(NamedTuple):
    """A name that is not in the evidence. nearest: names that are; others: how many of its kind there are."""

    what: str
    name: str | int
    nearest: tuple[str | int, ...]
    others: int

    def words(self, shown: Callable[[str], str] = str) -> str:
        """The same as a sentence. shown: a name as it is to be shown."""

        def word(name: str | int) -> str:
            return shown(name) if isinstance(name, str) else str(name)

        found = f"{self.what} {word(self.name)} is not in the evidence"
        if self.nearest:
            return f"{found}; the nearest: {', '.join(map(word, self.nearest))}"
        return f"{found}; there {'is 1' if self.others == 1 else f'are {self.others:,}'}, none like it"


def missing_names(run: Run) -> Iterator[Missing]:
    """The groups, topics, partitions and row types of a run's request that are not in the evidence.

    The run is through. Where it has not met a name, all is read once more, without the rest of its filter.
    """
    unmet = names_in(run.request.rows) - run.stats.met
    if not unmet or not run.evidence.can_reread:
        return
    there: dict[str, set[str | int]] = {what: set() for what, _ in unmet}
    for chunk in run.again().rows(ALL_ROWS):
        for what, name in names_of(chunk):
            if what in there:
                there[what].add(name)
    for what, name in sorted(unmet, key=str):
        if name not in there[what]:
            yield Missing(what, name, tuple(_nearest((what, name), there[what])), len(there[what]))


def _nearest(missing: Name, there: set[str | int]) -> Sequence[str | int]:
    _, name = missing
    if isinstance(name, int):
        return sorted(there, key=lambda one: abs(int(one) - name))[:_NEAREST]
    texts = sorted(map(str, there))[:_MOST_COMPARED]
    part = name.casefold()
    holding = sorted((text for text in texts if part and part in text.casefold()), key=len)
    return [*dict.fromkeys((*get_close_matches(name, texts, _NEAREST), *holding))][:_NEAREST]
