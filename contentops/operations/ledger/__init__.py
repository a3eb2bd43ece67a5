"""The shared ledger of a project: found, opened and checked."""
