"""The PostgreSQL driver, on real servers."""
