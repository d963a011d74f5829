"""How the embedded diarizer's weights are made: `python -m training.diarization`.

Voices → crops for the embedding network, mixtures for the segmentation network → weights → thresholds.
"""
