"""Input functions of the frontier."""
