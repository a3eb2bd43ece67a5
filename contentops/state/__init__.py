"""The recorded state: lock (committed state), journal (changes since then) and cache (copies, safe to delete).

Read it in this order: `codec` says what a line is, and reads files of lines. `lock` and `jobs` are the two committed
tables, and `approvals` is the third file of lines. `store` keeps the journal: `fold` makes the records of lock and
journal, and `StateStore` writes everything in an order that a kill cannot harm. `cache` has what may be lost, and
`state_dir` the folders and the lock of one apply at a time.
"""
