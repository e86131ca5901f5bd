"""The console: a web page that lists a server's methods, calls them and shows what comes of it."""
