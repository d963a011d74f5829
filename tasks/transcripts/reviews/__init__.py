"""Reviews: a person's correction of a transcript, as a document of its own.

draft      what an editor sends: speakers, and segments of words, new ones without times
timing     times for new words, between their neighbours
document   the stored review; `schema.json` beside it is its JSON Schema
applied    the transcript that a review makes of the machine's: every format follows from it
"""
