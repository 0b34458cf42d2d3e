"""A job queue for ordinary, synchronous, threaded Python programs."""
