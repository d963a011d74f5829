"""Live captions: audio blocks in, captions out, by workers that Kafka joins.

    live.audio → prepare → live.prepared → features → live.features → diarize → live.voices → recognise → live.words
    live.words → captions → captions.partial, captions.final, WebVTT segments, the transcript at the end

Every topic is keyed by session. A component is a pure state machine over its topic: equal messages give equal
messages. So after a crash or a rebalance a worker loads the session's last snapshot, hears what came after it again,
and says again what it had said; readers pass over sequence numbers that they have seen. At least once, and each
(session, sequence) has one content: no more is claimed.
"""
