"""How soon a changed message is told of, and what it costs to look."""
