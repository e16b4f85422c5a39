"""What is known of studies: their rows, their manifests, and the change log."""
