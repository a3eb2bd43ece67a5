"""Results into git, plans onto pull requests: what runs beside a repository and its host."""
