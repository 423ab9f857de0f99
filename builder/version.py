"""The version of the builder; part of every shard's fingerprint."""

__version__ = "0.1.0"
