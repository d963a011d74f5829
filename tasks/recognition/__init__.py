"""Speech recognition: chunks of audio in, words with times and confidences out.

engine       the `Engine` protocol and its types; `loading` picks the engine for a model's folder
ctc          Parakeet and wav2vec2-BERT: `greedy` decoding, or `beam` search with shallow fusion (`fusion`) of an
             n-gram model of spelling (`spelling`) and of a list of expected phrases (`vocabulary`)
whisper      Whisper through faster-whisper
quality      whether a recognition is plausible; `retry` splits a chunk for another try
packing      batches of chunks; `allocator` settings of malloc
"""

from tasks.recognition.engine import Engine, Hints, RecognisedWord, Recognition
from tasks.recognition.loading import load_engine

__all__ = ["Engine", "Hints", "RecognisedWord", "Recognition", "load_engine"]
