"""Commits to how offsets moved, who held the partition, and what speaks for why."""
