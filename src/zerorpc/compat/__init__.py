"""What programs written for zerorpc 0.6 know of its inside: ``Context`` with its hooks."""
