"""TLS 1.3 with hybrid key exchange: a CA whose key stays in the token, policies as a table, and reports of every handshake."""
