"""Fixtures that test modules share."""

from __future__ import annotations

import pytest

from offdecode.engines.decode import Engine
from tests.brokers import start_broker

__all__ = ["engine", "start_broker"]


@pytest.fixture(params=["auto", "reference"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Both engines in turn: what a test holds for one, it holds for the other."""
    found: Engine = request.param
    return found
