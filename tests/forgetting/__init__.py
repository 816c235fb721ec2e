"""A person is forgotten: everywhere that their words, or their name, have come to."""
