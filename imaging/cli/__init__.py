"""The program `imaging`: one command a file."""
