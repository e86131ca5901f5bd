"""Builds the documentation site: ``make docs``, or ``python -m tools.site FOLDER``."""
