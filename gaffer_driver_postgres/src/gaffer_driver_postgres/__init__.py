"""PostgreSQL keeps the jobs of gaffer: for production, over any number of processes."""

from gaffer_driver_postgres.driver import PostgresDriver
from gaffer_driver_postgres.embedded import EmbeddedServer
from gaffer_driver_postgres.migrations import Migrations

__all__ = ["EmbeddedServer", "Migrations", "PostgresDriver"]
__version__ = "0.1.0"
