"""The desk: what people do with transcripts. Reading, correcting, searching; used by the pages in Airflow's UI.

places       a programme's key, and where its reviews are
reviews      reading and saving reviews; all formats of the reviewed version
comparison   the machine's words against a person's; `error_rates` of many programmes
review_log   a line for each review, for other systems
index        searching all transcripts
vocabulary   words for the recogniser, from what people typed
programmes   a programme as its page shows it, and its downloads
"""
