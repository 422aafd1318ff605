"""The loop between a log and the tasks, and what it tells of itself."""
