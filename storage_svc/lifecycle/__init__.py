"""What goes, comes back or must stay: deletion, purge, legal hold, and the audit of it."""
