"""Bytes <-> types, one codec a file. ``fields`` says what a field may hold; ``schemas/`` holds the
JSON Schemas of what others read."""
