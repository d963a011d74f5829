"""How the embedded diarizer's weights are made: `python -m local.demo.diarizer`.

Voices → crops for the embedding network, mixtures for the segmentation network → weights → thresholds.
"""
