"""The service on zerorpc 0.6.3."""

from service import Conformance, serve

serve(Conformance(), "tcp://127.0.0.1:*")
