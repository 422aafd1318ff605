"""How monitors of a model's inputs do on tables and texts whose changes are known."""
