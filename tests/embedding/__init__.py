"""The programs of docs/embedding.md, each in its real framework: ``make test-embedding``."""
