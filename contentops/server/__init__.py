"""The embedded server: the WriterzRoom contract as an ASGI app over a SQLite file.

It runs in process (no port, no key) or over HTTP (`serve`). It knows nothing of the client: no module here imports
another part of contentops, so that the two sides can only agree through the protocol.

    app       routes, authentication, error shapes      catalog  templates, styles, verticals
    store     the SQLite file                           engines    who writes the texts
    runner    carries jobs through their stages         serve      the same app on a port
"""


class LocalError(Exception):
    """What a person can act on; the message says what is wrong, where, and what to do. Each failure derives from it."""
