"""The demo's base model: a small Parakeet CTC, pre-trained on synthetic speech."""
