"""The use cases of a depot, whatever protocol asks for them."""
