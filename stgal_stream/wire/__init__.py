"""Bytes <-> types, one codec a file.

``formats/`` finds the people in detectors' messages, ``raw_detection`` and ``fields`` say what a
value means; ``schemas/`` holds the JSON Schemas of what others read.
"""
