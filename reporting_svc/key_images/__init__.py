"""The pictures of a report: which, and what is drawn into them."""
