"""Pure functions from the configuration and what was seen to what is wrong with it."""
