"""The nightly transcription: new media in the inbox are transcribed and published, and each programme gets an outcome.

steps/              plan → prepare → recognise and diarize in parallel → publish, mapped over batches; then report
inbox, batching     what is new in the inbox (`Arrival`), and its distribution over batches
pipeline            what determines a transcript besides the media; the steps' versions
ledger              which files earlier nights transcribed, failed on or put into quarantine
records             the files that steps hand to each other; `kept_outputs` those that survive a failed attempt
audio_extraction    prepare: decoding to 16 kHz FLAC, and voice activity detection
chunk_reading       recognise: reading chunks ahead of the engine
decoding, fallback  recognise: one programme's recognition, and other ways to decode a suspect chunk
transcript_building publish: the canonical transcript of one programme
events              publish: Kafka events
report_rows         rows of the night's report; `night_report` renders its page
faults              telling one programme's errors from those that concern the whole step
"""
