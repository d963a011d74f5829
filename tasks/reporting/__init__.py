"""What a night reports: its records, which other systems read, and its page for people."""
