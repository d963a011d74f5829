"""From a dataset to a promoted model: fine-tuning, evaluation, comparison, registration."""
