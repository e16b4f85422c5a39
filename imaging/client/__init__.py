"""Clients of the services: channels, resume, retries and decoding are their business, not the caller's."""
