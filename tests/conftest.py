"""Fixtures that test modules share."""

from __future__ import annotations

import signal

import pytest

from offdecode.engines.decode import Engine
from tests.brokers import start_broker

__all__ = ["engine", "start_broker"]

# What a shell without job control starts in the background ignores interrupts, and all that it starts with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["auto", "reference"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Both engines in turn: what a test holds for one, it holds for the other."""
    found: Engine = request.param
    return found
