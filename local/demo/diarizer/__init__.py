"""Training of the embedded diarizer: `python -m local.demo.diarizer`.

Voices → crops for the embedding network, mixtures for the segmentation network → weights → clustering threshold.
"""
