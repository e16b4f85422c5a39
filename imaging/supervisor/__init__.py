"""All services of one installation on one machine, each a process of its own, started, watched and drained."""
