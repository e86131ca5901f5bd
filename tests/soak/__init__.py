"""A service under load for minutes: 2,000 connections, then three times what it can do. See ``__main__``."""
