"""One file a feature that goes beyond push, fetch, acknowledge and fail."""
