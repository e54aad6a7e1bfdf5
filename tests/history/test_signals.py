"""Every signal that a movement can have is explained, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import offdecode
from offdecode.history.movements.movement import Signal
from offdecode.schemas.history_rows import SIGNALS

PACKAGE = Path(offdecode.__file__).parent
OF_LAG = {"topic_deleted", "no_log_of_the_partition", "topic_made_anew", "before_the_first_record"}


def test_every_signal_is_explained() -> None:
    beside = (PACKAGE / "questions" / "beside.py").read_text("utf-8")
    deletions = (PACKAGE / "questions" / "topic_deletions.py").read_text("utf-8")
    found = {signal.name.lower() for signal in Signal if signal.name}
    found |= set(re.findall(r'append\("(\w+)"\)', beside)) - OF_LAG
    found |= {name for names in re.findall(r'yield "(\w+)"|_REMOVED = "(\w+)"|"signals"\], "(\w+)"', deletions)
              for name in names if name}  # fmt: skip
    assert found == SIGNALS.keys()
