"""What this model must do besides what every model must: each class is one more check of `{check: behaviour}`."""

from towpath_flows.evaluation.checks import Subject


class NoCertainty:
    """Nobody is told that something is certain to happen, or certain not to."""

    name = "no-certainty"

    def check(self, subject: Subject) -> bool:
        """Some answers are certain, and nothing is: look for a column that knows the answer."""
        answers = subject.predict(subject.columns)
        return bool(((answers > 0) & (answers < 1)).all())
