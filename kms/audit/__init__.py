"""Who used which key: a chain of entries in an append-only file, each with the digest of the one before, sealed by signatures."""
