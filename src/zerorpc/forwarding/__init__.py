"""Gateways: a server whose methods are those of another server."""
