"""The REST faces of the platform: keys and manifests, the policy, quantum jobs and threats. No logic of its own."""
