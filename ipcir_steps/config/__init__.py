"""The configuration: pydantic models from which the default config.yaml and its JSON schema are generated."""
