"""Real gunicorn and uWSGI, whose workers are forked from a master that has a client already: see ``test_wsgi``."""
