"""The bytes of a file on their way: one pipeline in, one out, the same for server and client."""
