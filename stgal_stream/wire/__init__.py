"""Bytes <-> types, one codec a file; ``schemas/`` holds the JSON Schemas of what others read."""
