"""The catalog: what a server offers, as it says it, as `catalog.lock.json` keeps it, and how two of them differ.

Pure; fetching and writing are `contentops.operations.content`'s.
"""
