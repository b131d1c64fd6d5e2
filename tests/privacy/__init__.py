"""One person in the log: found, given to them, forgotten."""
