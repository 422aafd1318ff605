"""Rejected records: counted, shown, sent back."""
