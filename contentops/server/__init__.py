"""The bundled server: the WriterzRoom API as an ASGI app over a SQLite file.

It runs in process (no port, no key) or over HTTP (`serve`). It imports only `job_limits`, `loopback`, `pricing`,
`sections` and `tokens` from the rest of contentops, and none of the client.

    app      routes and endpoints             store     the SQLite file; and the clock
    access   the key, and the request limit   jobs      generations; `runner` works on them stage by stage
    bodies   reads requests                   contents  stored texts, and their sections
    replies  writes answers                   catalog   templates, styles, verticals
    serve    runs in process, or on a port    engines   write the texts
"""


class EmbeddedServerError(Exception):
    """The base of the server's errors; the message says what is wrong, where, and what to do."""
