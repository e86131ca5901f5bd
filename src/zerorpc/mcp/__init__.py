"""MCP, the Model Context Protocol, by which language models call tools: messages in, messages out. Pure.

It stands below the doors and the command line, since both speak it: a server's door over HTTP, and ``zerorpc mcp`` over
stdin and stdout. It knows no sockets, no clocks and no threads, and of a service only what that tells of itself
(``described``), so that one of any age can be behind it.
"""
