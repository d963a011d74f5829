"""Log-mel features: one implementation for every model family and device.

`config` describes an extractor and imports nothing heavy; `logmel` computes and needs torch.
"""
