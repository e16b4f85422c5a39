"""Stages: the services that do them, a file a kind, and how one is called until it has an outcome.

What the kinds share is in `stage_service.py`; `by_kind.py` puts them together, `stage_call.py` calls them.
"""
