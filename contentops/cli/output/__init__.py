"""Output for people, logs and jobs of GitHub."""
