"""The demo: a made-up channel (`synthesis`), the model that fine-tuning starts from (`base_model`), the training of the
embedded diarizer (`diarizer`), and the run over all DAGs with what it shows."""
