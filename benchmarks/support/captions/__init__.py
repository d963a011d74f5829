"""Caption files with known truth: what is said in a programme and when, written as archives have it."""
