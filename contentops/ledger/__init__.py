"""What several machines share, in PostgreSQL: open entries, paid texts, what was learned, the apply lock, one limiter.

PostgreSQL itself is the engine: sessions whose locks die with them, transactions, `SKIP LOCKED`, its own timeouts. The
only room that imports psycopg, and imported only where a ledger is configured.
"""
