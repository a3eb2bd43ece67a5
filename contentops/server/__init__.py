"""The bundled server: the WriterzRoom API as an ASGI app over a SQLite file or a PostgreSQL database.

It runs in process (no port, no key) or over HTTP (`serve`). It imports only `job_limits`, `loopback`, `pricing`,
`sections` and `tokens` from the rest of contentops, and none of the client.

    app       routes and endpoints             store     opens a store; and the clock
    accounts  keys, credits, request limits    jobs      generations; `runner` works on them stage by stage
    bodies    reads requests                   contents  stored texts, and their sections
    replies   writes answers                   catalog   templates, styles, verticals
    serve     runs in process, or on a port    engines   write the texts
    database  the protocol of a store          sqlite, postgres (with postgres_schema)  its implementations
"""


class EmbeddedServerError(Exception):
    """The base of the server's errors; the message says what is wrong, where, and what to do."""
