"""The command line: one command a file, what they share in ``options`` and ``progress``."""
