"""Keeps the jobs of gaffer in the memory of one process: for development and tests."""

from gaffer_driver_memory.driver import MemoryDriver
from gaffer_driver_memory.storage import Storage

__all__ = ["MemoryDriver", "Storage"]
