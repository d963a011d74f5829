"""A diarizer given in parts: a segmentation and a speaker embedding, in a folder with a `config.yaml` of its own.

config        config.yaml
loading       the pipeline of a folder, and clustering parameters for the kinds of embeddings that were measured
networks      the files that it names: PyTorch, TorchScript, ONNX, pyannote's folders
embedding     embedding networks as models of pyannote's pipeline
campplus      the network of CAM++
"""
