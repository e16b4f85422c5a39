"""Alerts: rules of recipes over findings, kept, shown, and told to webhooks."""
