"""Revisions hold a template in the bytes that Go's encoder makes of it."""

import orjson
import pytest

from minikube_py.controllers.workloads.revisions import same_data, template_of, template_patch
from minikube_py.controllers.workloads.stored_template import stored_template
from minikube_py.controllers.workloads.template import same_template
from minikube_py.objects.errors import Object


def test_keys_are_in_order_at_every_depth() -> None:
    template = {
        "spec": {"containers": [{"name": "a", "image": "b", "resources": {}}]},
        "metadata": {"labels": {"x": "y"}},
    }
    text = orjson.dumps(template_patch({"spec": {"template": template}}))
    assert text == (
        b'{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"x":"y"}},'
        b'"spec":{"containers":[{"image":"b","name":"a","resources":{}}]}}}}'
    )


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"metadata": {"creationTimestamp": None, "annotations": {}}}, {"metadata": {}}),
        ({"nodeSelector": {}, "tolerations": [], "hostname": ""}, {}),
        ({"tty": False, "hostNetwork": False, "stdin": True}, {"stdin": True}),
        ({"enableServiceLinks": False, "terminationGracePeriodSeconds": 0}, None),
        ({"emptyDir": {}, "resources": {"limits": {}}}, {"emptyDir": {}, "resources": {}}),
        ({"env": [{"name": "A", "value": ""}]}, {"env": [{"name": "A"}]}),
        ({"ports": [{"hostPort": 0, "containerPort": 1}]}, {"ports": [{"containerPort": 1}]}),
        ({"storageClassName": "", "service": ""}, None),
    ],
)  # fmt: skip
def test_what_go_takes_for_unset_is_left_out(given: Object, stored: Object | None) -> None:
    assert stored_template(given) == (given if stored is None else stored)


def test_a_revision_gives_the_template_back() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "tty": False}]}}
    revision = {"data": template_patch({"spec": {"template": template}})}
    assert template_of(revision) == {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}}
    assert same_data(revision, {"data": {"spec": {"template": {**template_of(revision), "$patch": "replace"}}}})


def test_a_zero_value_is_no_change_of_a_template() -> None:
    one = {"spec": {"containers": [{"name": "c", "tty": False}], "hostNetwork": False}}
    assert same_template(one, {"spec": {"containers": [{"name": "c"}]}})
    assert not same_template(one, {"spec": {"containers": [{"name": "c", "tty": True}]}})
