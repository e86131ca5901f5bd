"""What serves: ``Server`` and its life, in one process or in several."""
