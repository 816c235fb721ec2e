"""Backends as the page for their authors builds one, and as nobody should: each contract has to tell them apart."""
