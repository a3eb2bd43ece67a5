"""The embedded server: the WriterzRoom API as an ASGI app over a SQLite file or a PostgreSQL database.

It runs in process (no port, no key) or over HTTP (`serve`). It knows nothing of the client: no module here imports
another part of contentops but what both count, name and cut alike: all else they can only agree on through the
protocol.

    app       routes and endpoints             store     opens what is kept; and the clock
    accounts  keys, credits, request limits    jobs      generations; `runner` carries them through their stages
    bodies    what requests say                contents  stored texts, and their sections
    replies   what is answered                 catalog   templates, styles, verticals
    serve     in process, or on a port         engines   who writes the texts
    database  what every store can do          sqlite, postgres (with postgres_schema)  what is under it
"""


class EmbeddedServerError(Exception):
    """What a person can act on; the message says what is wrong, where, and what to do. Each failure derives from it."""
