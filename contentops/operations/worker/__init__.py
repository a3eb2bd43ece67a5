"""A worker, which carries out what is queued in a ledger."""
