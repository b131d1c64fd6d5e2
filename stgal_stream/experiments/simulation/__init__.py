"""Simulated people: ``people`` and ``renderer`` draw them, ``site`` and ``schedule`` let them walk,
``embeddings`` stands in for an extractor."""
