"""Faults under a running daemon: it says what a run without them says, or what is lost."""
