"""The only code that speaks with GitHub: its API, and what its runners tell a job."""
