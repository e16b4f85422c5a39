"""Calcium of the coronary arteries in CT."""
