"""Settings: what can be set (`model.py`) and where it comes from (`loading.py`)."""

from imaging.settings.loading import load_settings
from imaging.settings.model import DOOR_NAMES, SERVICE_NAMES, DoorName, ServiceName, Settings

__all__ = ["DOOR_NAMES", "SERVICE_NAMES", "DoorName", "ServiceName", "Settings", "load_settings"]
