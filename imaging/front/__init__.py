"""One port in front of all services: what its Traefik is told, made of the settings."""
