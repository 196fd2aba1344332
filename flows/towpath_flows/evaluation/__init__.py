"""What a model is worth: measures with intervals, comparison with the champion, behaviour, verdicts, the card."""
