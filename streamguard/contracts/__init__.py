"""Contracts of messages from history: learnt from it, and held against it, before a stream is."""
