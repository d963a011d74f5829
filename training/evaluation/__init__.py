"""How good a model is on a split: error rates with intervals, by slice, and what it hears where nobody speaks."""
