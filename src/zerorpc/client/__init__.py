"""What calls a service: ``AsyncClient`` from an event loop, ``Client`` from ordinary, blocking code."""
