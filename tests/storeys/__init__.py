"""The storeys of the tree: which distribution may use which."""
