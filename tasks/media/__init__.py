"""Media in, speech audio out: probe, choose a track, decode, measure, find speech.

`decode.open_audio` streams any medium as mono float32 blocks; `IsolatedDecoder` does the same in a process for each
medium, which a bad file may crash. `speech_activity` and `chunks` say where to listen. Whatever cannot be
decoded ends in `findings.MediaRejected` with a reason of the contract's closed list.
"""
