"""In-memory stand-ins for the world: a server and a clock."""
