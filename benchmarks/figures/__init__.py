"""One file a published figure: each has `measure(bench) -> Figure`."""
