"""The life of a model: what may be registered, what may be promoted, in what versions differ."""
