"""The bundled server: it offers the WriterzRoom API and stores all its data in one SQLite file.

It runs in process (no port, no key) or over HTTP (`serve`). It imports only `json_reader`, `loopback`, `pricing`,
`sections` and `tokens` from the rest of contentops, and none of the client.

    app      routes, the key, the limit       store     the SQLite file, and the clock
    wire     reads requests, writes replies   jobs      generation jobs, and the runner that works on them
    serve    runs in process, or on a port    contents  stored texts, and their sections
    engines  write the texts                  catalog   templates, styles, verticals
"""


class EmbeddedServerError(Exception):
    """The base class of the server's errors, whose messages say what is wrong, where, and what to do."""
