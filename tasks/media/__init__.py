"""Media in, speech audio out: probe, choose a track, decode, measure levels, detect speech.

`container` opens and probes a file and reads its packets; `decoding` turns them into mono float32 blocks, in this
process (`reader.open_audio`) or in a process for each medium that a bad file may crash (`isolated.IsolatedDecoder`).
`speech_activity` detects speech and `chunks` packs it for recognition. A medium that cannot be decoded raises
`findings.MediaRejected` with a reason from the contract's closed list.
"""
