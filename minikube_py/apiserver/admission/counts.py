"""Counts what admission did and how long it took, under Kubernetes' names.

Source: the metrics reference; apiserver pkg/admission/metrics. Labels come from plugins and configurations only.
"""

from collections.abc import Iterator

from minikube_py.prometheus import Family, Histogram, Sample

ADMIT, VALIDATE = "admit", "validate"
CALL_FAILED, SERVER_FAILED, REFUSED = "calling_webhook_error", "apiserver_internal_error", "no_error"
_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)
_WEBHOOK_BUCKETS = (*_BUCKETS, 10.0, 25.0)
_CONDITION_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25)
_HIGHEST_CODE = 600

_Histograms = dict[tuple[str, ...], Histogram]
_Numbers = dict[tuple[str, ...], int]


class AdmissionCounts:
    """Plain numbers; `families` is what /metrics shows of them."""

    def __init__(self) -> None:
        self._steps: _Histograms = {}
        self._plugins: _Histograms = {}
        self._webhooks: _Histograms = {}
        self._conditions: _Histograms = {}
        self._requests: _Numbers = {}
        self._rejections: _Numbers = {}
        self._failed_open: _Numbers = {}
        self._excluded: _Numbers = {}
        self._condition_errors: _Numbers = {}

    def step(self, type_: str, operation: str, *, rejected: bool) -> Histogram:
        """Where the time of all plugins together goes."""
        return _of(self._steps, (type_, operation, _told(rejected)), _BUCKETS)

    def plugin(self, name: str, type_: str, operation: str, *, rejected: bool) -> Histogram:
        return _of(self._plugins, (name, type_, operation, _told(rejected)), _BUCKETS)

    def webhook(self, hook: tuple[str, str, str], seconds: float, code: int, error: str = "") -> None:
        """A call is over. hook: (name, type, operation). error: why the request is refused, '' when it isn't."""
        number, rejected = str(min(code, _HIGHEST_CODE)), _told(bool(error))
        _of(self._webhooks, (*hook, rejected), _WEBHOOK_BUCKETS).observe(seconds)
        _add(self._requests, (*hook, number, rejected))
        if error:
            _add(self._rejections, (*hook, error, number))

    def failed_open(self, name: str, type_: str) -> None:
        _add(self._failed_open, (name, type_))

    def conditions(self, hook: tuple[str, str, str], seconds: float, *, holds: bool) -> None:
        """A webhook's match conditions were evaluated. hook: (name, type, operation)."""
        place = (hook[0], "webhook", *hook[1:])
        _of(self._conditions, place, _CONDITION_BUCKETS).observe(seconds)
        if not holds:
            _add(self._excluded, place)

    def condition_failed(self, hook: tuple[str, str, str]) -> None:
        _add(self._condition_errors, (hook[0], "webhook", *hook[1:]))

    def families(self) -> Iterator[Family]:
        hook, condition = ("name", "type", "operation"), ("name", "kind", "type", "operation")
        yield _family("step_admission_duration_seconds", "histogram", "How long all plugins took.",
                      ("type", "operation", "rejected"), self._steps)  # fmt: skip
        yield _family("controller_admission_duration_seconds", "histogram", "How long each plugin took.",
                      (*hook, "rejected"), self._plugins)  # fmt: skip
        yield _family("webhook_admission_duration_seconds", "histogram", "How long webhooks took to answer.",
                      (*hook, "rejected"), self._webhooks)  # fmt: skip
        yield _family("webhook_request_total", "counter", "Calls of webhooks.", (*hook, "code", "rejected"),
                      self._requests)  # fmt: skip
        yield _family("webhook_rejection_count", "counter", "Requests refused by webhooks, or for want of them.",
                      (*hook, "error_type", "rejection_code"), self._rejections)  # fmt: skip
        yield _family("webhook_fail_open_count", "counter", "Calls that failed and were passed over.",
                      ("name", "type"), self._failed_open)  # fmt: skip
        yield _family("match_condition_evaluation_seconds", "histogram", "How long match conditions took.",
                      condition, self._conditions)  # fmt: skip
        yield _family("match_condition_exclusions_total", "counter", "Requests that match conditions left out.",
                      condition, self._excluded)  # fmt: skip
        yield _family("match_condition_evaluation_errors_total", "counter", "Match conditions that failed.",
                      condition, self._condition_errors)  # fmt: skip


def _told(is_so: bool) -> str:
    return "true" if is_so else "false"


def _of(table: _Histograms, labels: tuple[str, ...], bounds: tuple[float, ...]) -> Histogram:
    found = table.get(labels)
    if found is None:
        found = table[labels] = Histogram(bounds)
    return found


def _add(table: _Numbers, labels: tuple[str, ...]) -> None:
    table[labels] = table.get(labels, 0) + 1


def _family(name: str, kind: str, help_: str, labels: tuple[str, ...], table: _Histograms | _Numbers) -> Family:
    samples = [Sample(place, value) for place, value in table.items()]
    return Family(f"apiserver_admission_{name}", kind, help_, labels, samples)
