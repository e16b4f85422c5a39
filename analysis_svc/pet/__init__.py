"""Positron emission tomography: from activity to uptake."""
