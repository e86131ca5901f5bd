"""The same calls through every door of one server, whose outcomes are compared."""
