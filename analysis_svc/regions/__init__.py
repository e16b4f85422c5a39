"""Regions that somebody has drawn: segmentations and structure sets, on the grid of the images."""
