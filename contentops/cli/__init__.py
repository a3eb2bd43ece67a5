"""The command line: one module per command; arguments, printing and exit codes."""
