"""What a model lives in: changes that no record of predictions shows."""
