"""What a person, a log or a job of GitHub is shown."""
