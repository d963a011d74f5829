"""Log-mel features: one implementation for every model family and device.

`config` describes an extractor and has no heavy imports; `logmel` computes the features and needs torch.
"""
