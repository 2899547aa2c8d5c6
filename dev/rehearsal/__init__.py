"""Every step once at the published size, with random weights: see docs/rehearsal.md."""
