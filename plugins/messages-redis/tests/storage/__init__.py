"""What lies in Redis: as it should, and as somebody else left it."""
