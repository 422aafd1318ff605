"""How drift detectors do on streams whose changes are known: how late they are, and how often they are wrong."""
