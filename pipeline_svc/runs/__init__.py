"""Runs: durable, carried stage by stage, whatever happens to the process."""
