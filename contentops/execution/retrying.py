"""The names of the one retry policy, for code that still looks for them here."""

from contentops.api.backoff import LONGEST_BACKOFF, RETRY_FOR, backoff

__all__ = ["LONGEST_BACKOFF", "RETRY_FOR", "backoff"]
