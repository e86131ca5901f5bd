"""The door for MCP, at ``/mcp`` of the door for HTTP: a call of a tool becomes an Invocation."""
