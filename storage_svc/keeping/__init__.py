"""What keeps the bytes true: proven reads, the scrub, the sweep."""
