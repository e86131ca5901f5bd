"""A model of what callers may see, and a program that tries to see something else. See ``__main__``."""
