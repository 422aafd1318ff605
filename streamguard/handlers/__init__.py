"""Who is told of alerts: subscribers in Python, and handlers that a configuration names."""
