"""What is kept beside the served instances: older versions and quarantine, and what a person decides over them."""
