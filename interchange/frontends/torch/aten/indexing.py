"""Reading and writing at positions: index, index_put, gather, scatter, masked_fill, where."""
