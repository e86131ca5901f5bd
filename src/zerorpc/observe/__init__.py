"""What a server counts, and how that is told. Pure: whoever counts hands in the times."""
