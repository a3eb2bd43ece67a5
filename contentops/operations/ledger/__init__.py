"""The shared ledger of a project: opened, checked, maintained, and what is queued in it."""
