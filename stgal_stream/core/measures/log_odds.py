"""The limit of evidence."""

from __future__ import annotations

# No single measurement says more than 3,000 to 1 (e^8) for or against one person: a histogram of
# some ten thousand pairs cannot know more, and one wrong certainty must not outweigh all others.
LOG_ODDS_LIMIT = 8.0
