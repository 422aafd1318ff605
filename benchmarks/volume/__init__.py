"""How soon labels that stop are told of, and how often a normal night is taken for that."""
