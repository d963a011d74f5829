"""The demo: a synthetic channel (`synthesis`), the model that fine-tuning starts from (`base_model`), the training of
the embedded diarizer (`diarizer`), and the run through all DAGs with its display."""
