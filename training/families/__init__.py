"""Model families behind one interface, with which the training loop fine-tunes a CTC model or a Whisper."""
