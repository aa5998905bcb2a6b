"""Sample posts for a first look: made-up captions on pictures that published packages carry."""
