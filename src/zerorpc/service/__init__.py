"""What is exposed: the methods of an object, what they look like, and the execution of one request."""
