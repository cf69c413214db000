"""The variational quantum classifier: one circuit, its exact batched engine, its training, and the same circuit with shots."""
