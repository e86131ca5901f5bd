"""A client's calls, pure: which server each of them goes to, and what happens when that one won't have it."""
