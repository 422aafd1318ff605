"""What records must look like: a JSON Schema, checked on the stream, and learned from it."""
