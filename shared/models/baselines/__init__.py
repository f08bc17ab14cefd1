"""Models that the papers compare with and that are none of the five."""
