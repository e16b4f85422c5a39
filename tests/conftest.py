"""What all tests share: how hypothesis runs."""

from __future__ import annotations

import os

from hypothesis import settings

# No example is timed: the first one pays for imports, and a busy machine would fail it for nothing. CI draws the same
# examples each time, so that a red run tells of the change; people draw new ones.
settings.register_profile("imaging", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("imaging")
