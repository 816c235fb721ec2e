"""Make the heads' weights from data, the same bytes from the same data: `tta safety train`."""
