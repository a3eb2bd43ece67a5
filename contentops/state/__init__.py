"""What contentops knows it made: the lock (the checkpoint), the journal (all since), the cache (what may be lost).

`codec`, `lock` and `journal` are pure: text in, facts out. The other modules touch the disk. Read `journal.fold` to
learn how the two files become one state, and `store.StateStore` to learn when they are written.
"""
