"""Processing steps: pure functions from a volume to a volume. A new one is a file here and a line in `registry`."""
