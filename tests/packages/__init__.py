"""The wheel and the sdist as a user gets them: built, installed in fresh venvs, used. `make test-packages`."""
