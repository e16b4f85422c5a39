"""Recipes: those that come with the service, and how they are read, checked, and fitted to studies."""
