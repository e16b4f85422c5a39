"""Amounts as people read them."""

from __future__ import annotations


def size_text(size_bytes: int) -> str:
    """Bytes in decimal units: `1.5 MB`."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    value = float(size_bytes)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def seconds_text(seconds: float | None) -> str:
    """Seconds: `0.8 s`, `73 s`, `5 min 03 s`."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
