"""faktory_tw: a background job server on Twisted that speaks the Faktory work protocol."""

__version__ = "0.1.0"
