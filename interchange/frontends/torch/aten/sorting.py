"""Order: sort, topk, median, cumulative sums and extremes, searchsorted, unique."""
