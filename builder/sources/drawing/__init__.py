"""Layers drawn by code: people of simple shapes with fine hair, and structured backgrounds."""
