"""A story on Redis, played by processes of their own."""
