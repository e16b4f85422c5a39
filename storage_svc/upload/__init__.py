"""Uploads: one stream of messages in, one answer an instance out; the spool for those that come in chunks."""
