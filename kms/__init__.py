"""Keys in a PKCS#11 token, manifests of what was decided and run, the logs they stand in, and who may be believed."""
