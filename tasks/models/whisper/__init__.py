"""Whisper as others save it: CTranslate2, OpenAI's checkpoints, transformers with and without all its files.

weights            a model's tensors by transformers' names, and its dimensions
ctranslate2_file   reads CTranslate2's `model.bin`
openai_file        reads OpenAI's `.pt`
tokenizer          makes `tokenizer.json` out of what there is: vocabularies, merges, tiktoken's ranks
decoding_settings  suppressed tokens, languages and alignment heads
transformers_folder  brings any of these layouts into transformers' layout

Only `transformers_folder` is called from outside. Everything here but `weights` is read once per model, not per step.
"""
