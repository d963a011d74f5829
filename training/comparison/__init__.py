"""Whether a challenger is really better than the champion: a rule that gives its reasons."""
