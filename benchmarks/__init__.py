"""The published figures, one file a figure, and the runner that measures ours and the peer's in turn."""
