"""Bytes of a log to batches and records, and to what is wrong with them."""
