"""The door for HTTP: each request becomes an Invocation like those of zerorpc's own door."""
