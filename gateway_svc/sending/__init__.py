"""What is stored goes to other systems: C-STORE to a PACS, STOW-RS to a web server."""
