"""A synthetic pool of image-text pairs and documents in which everything planted is known."""

from curate.demo.pool import Truth, generate
from curate.demo.score import DefectScore, render, score

__all__ = ["DefectScore", "Truth", "generate", "render", "score"]
