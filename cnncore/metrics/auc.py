"""The area under the ROC or the precision-recall curve."""

import numpy as np

from .. import checks
from .arrays import EPSILON, divide_or_zero
from .base import Metric
from .confusion import ConfusionCounts, binary_scores


class AUC(Metric):
    """Area under the ROC or the precision-recall curve, as a sum over a ladder of thresholds.

    Parameters
    ----------
    num_thresholds : int
        At least 2. Default 200, evenly spaced on [0, 1]; more of them, smaller the error.
    curve : {"ROC", "PR"}
        ROC: recall over the false-positive rate. PR: precision over recall.
    summation_method : {"interpolation", "minoring", "majoring"}
        Mid-point heights (for PR, the interpolation of Davis and Goadrich 2006), or the lower or upper sum.
    name : str, optional
    dtype : {None, "float32", "float64"}
    thresholds : sequence of float, optional
        In [0, 1]; used, with one below 0 and one above 1, instead of `num_thresholds` even ones.
    multi_label : bool
        True computes an area for each column and averages them; False counts all elements together.
    num_labels : int, optional
        Number of columns, with `multi_label` only; otherwise taken from the first batch.
    label_weights : sequence of float, optional
        One for each column: weights of the average with `multi_label`, else of the elements.
    from_logits : bool
        Whether the predictions are logits, to be passed through the sigmoid. Default False.
    """

    direction = "up"

    def __init__(
        self,
        num_thresholds=200,
        curve="ROC",
        summation_method="interpolation",
        name=None,
        dtype=None,
        thresholds=None,
        multi_label=False,
        num_labels=None,
        label_weights=None,
        from_logits=False,
    ):
        super().__init__(dtype, name)
        curve = curve.upper() if isinstance(curve, str) else curve
        self.curve = checks.choice("AUC", "curve", curve, ("ROC", "PR"))
        method = summation_method.lower() if isinstance(summation_method, str) else summation_method
        self.summation_method = checks.choice(
            "AUC", "summation_method", method, ("interpolation", "minoring", "majoring")
        )
        if thresholds is None:
            self.num_thresholds = checks.integer("AUC", "num_thresholds", num_thresholds, minimum=2)
            inner = [(i + 1) / (self.num_thresholds - 1) for i in range(self.num_thresholds - 2)]
        else:
            inner = sorted(
                checks.number("AUC", "each threshold", t, "be in [0, 1]", lambda v: 0 <= v <= 1) for t in thresholds
            )
            self.num_thresholds = len(inner) + 2
        self._init_thresholds = None if thresholds is None else inner
        self.thresholds = [-EPSILON, *inner, 1 + EPSILON]
        self.multi_label = checks.boolean("AUC", "multi_label", multi_label)
        if num_labels is not None and not multi_label:
            raise ValueError(f"AUC: num_labels must be given with multi_label=True only, got {num_labels!r}")
        self.num_labels = None if num_labels is None else checks.integer("AUC", "num_labels", num_labels, minimum=1)
        self.label_weights = (
            None
            if label_weights is None
            else [checks.non_negative("AUC", "each label weight", w) for w in label_weights]
        )
        self.from_logits = checks.boolean("AUC", "from_logits", from_logits)
        self.reset_state()

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred, weights = binary_scores(self.name, y_true, y_pred, sample_weight)
        if self.multi_label and y_pred.ndim != 2:
            raise ValueError(
                f'metric "{self.name}": y_pred must have the shape (n, labels) with multi_label=True, '
                f"got {y_pred.shape}"
            )
        labels = y_pred.shape[-1] if y_pred.ndim > 1 else 1
        if self.label_weights is not None and len(self.label_weights) != labels:
            raise ValueError(
                f'metric "{self.name}": label_weights must be one for each of the {labels} labels, '
                f"got {len(self.label_weights)}"
            )
        if self.multi_label and labels != (self._labels or labels):
            raise ValueError(f'metric "{self.name}": y_pred must have {self._labels} labels, got {labels}')
        if self.from_logits:
            y_pred = 0.5 * (1 + np.tanh(0.5 * y_pred))
        elif np.any((y_pred < -1e-5) | (y_pred > 1 + 1e-5)):
            raise ValueError(
                f'metric "{self.name}": y_pred must be in [0, 1], got {np.min(y_pred)} to '
                f"{np.max(y_pred)}; for logits use from_logits=True"
            )
        y_pred = np.clip(y_pred, 0, 1)
        if self.multi_label:
            if self._labels is None:
                self._labels, self._counts = labels, ConfusionCounts(self.thresholds, labels)
            self._counts.add(y_true, y_pred, weights)
        else:
            if self.label_weights is not None:
                weights = weights * np.asarray(self.label_weights)
            self._counts.add(y_true.reshape(-1), y_pred.reshape(-1), weights.reshape(-1))

    def result(self):
        if self._counts is None:
            return self._output(0.0)
        if self.curve == "PR" and self.summation_method == "interpolation":
            area = self._interpolated_pr_area()
        else:
            area = self._sum_of_steps()
        if self.multi_label:
            weights = np.ones(area.shape) if self.label_weights is None else np.asarray(self.label_weights)
            area = divide_or_zero(np.sum(area * weights), np.sum(weights))
        return self._output(area)

    def _sum_of_steps(self):
        c = self._counts
        recall = divide_or_zero(c.true_positives, c.positives)
        if self.curve == "ROC":
            x, y = divide_or_zero(c.false_positives, c.negatives), recall
        else:
            x, y = recall, divide_or_zero(c.true_positives, c.true_positives + c.false_positives)
        left, right = y[:-1], y[1:]
        heights = {
            "interpolation": (left + right) / 2,
            "minoring": np.minimum(left, right),
            "majoring": np.maximum(left, right),
        }[self.summation_method]
        return np.sum((x[:-1] - x[1:]) * heights, axis=0)

    def _interpolated_pr_area(self):
        """Sum the area between thresholds with true positives linear in the predicted positives.

        Between two thresholds TP = intercept + slope * P, so precision TP / P integrates over recall to
        slope * (dTP + intercept * log(P_before / P_after)) / positives.
        """
        c = self._counts
        predicted = c.true_positives + c.false_positives
        d_hits, d_predicted = -np.diff(c.true_positives, axis=0), -np.diff(predicted, axis=0)
        slope = divide_or_zero(d_hits, np.maximum(d_predicted, 0))
        intercept = c.true_positives[1:] - slope * predicted[1:]
        both = (predicted[:-1] > 0) & (predicted[1:] > 0)
        ratio = np.where(both, divide_or_zero(predicted[:-1], predicted[1:]), 1.0)
        return np.sum(divide_or_zero(slope * (d_hits + intercept * np.log(ratio)), c.positives[1:]), axis=0)

    def reset_state(self):
        self._labels = self.num_labels
        unknown = self.multi_label and self._labels is None
        self._counts = None if unknown else ConfusionCounts(self.thresholds, self._labels if self.multi_label else None)

    def get_config(self):
        return {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "thresholds": self._init_thresholds,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": self.label_weights,
            "from_logits": self.from_logits,
            **super().get_config(),
        }
