"""Fixtures that test modules share."""

from tests.brokers import start_broker

__all__ = ["start_broker"]
