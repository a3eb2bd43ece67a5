"""The recorded state of a project: the committed lock, the journal of changes since then, and the cache of texts.

Read it in this order. `codec` defines the lines of the state files and reads such files. `lock` and `jobs` are the two
committed tables, and `approvals` is the third file of lines. `store` keeps the journal: `fold` makes the current
records from lock and journal, and `StateStore` writes everything in an order that makes a kill harmless. `cache` has
only copies, which are safe to delete. `state_dir` has the folders, and the lock that allows one apply at a time.
"""
