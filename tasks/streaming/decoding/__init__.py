"""Decoding of growing windows: one decoder for each model family, chosen by the model's folder.

agreement    which words of successive hypotheses are stable
decoder      the `WindowDecoder` protocol and its types; `loading` picks the decoder
ctc          Parakeet: decodes the whole window each time
whisper      Whisper: decodes what follows the committed words, with a guard against loops
language     which language is spoken, decided for stretches of speech, with hysteresis
load         longer steps between decoding passes where the machine is too slow
"""
