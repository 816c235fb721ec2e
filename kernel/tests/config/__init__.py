"""Settings: where they come from, what they may be, and how every mistake is told."""
