"""The examples that are whole programs of their own, started for real."""
