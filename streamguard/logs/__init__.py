"""Where records live: one narrow interface, and a file for each log behind it."""
