"""Settings: what can be set (`model.py`) and where it comes from (`loading.py`)."""

from imaging.settings.loading import load_settings
from imaging.settings.model import SERVICE_NAMES, ServiceName, Settings

__all__ = ["SERVICE_NAMES", "ServiceName", "Settings", "load_settings"]
