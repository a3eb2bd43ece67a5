"""The recorded state: the lock (the checkpoint), the journal (everything since), the cache (copies, safe to delete).

`codec`, `lock` and `journal` are pure: text in, facts out. The other modules touch the disk. `journal.fold` makes one
state of lock and journal; `store.StateStore` writes them.
"""
