"""Of the command line."""
