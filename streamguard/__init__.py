"""streamguard: finds out that a model in production has gone wrong."""
