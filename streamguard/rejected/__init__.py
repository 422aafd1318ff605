"""Records that could not be used: counted, shown, and sent back when what was wrong is mended."""
