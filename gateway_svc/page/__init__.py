"""The web page: hand-written HTML, CSS and ES modules in `static/`; nothing is built, nothing loaded from elsewhere."""
