"""Removes requests for pod certificates a while after they were made, answered or not.

Source: KEP-4317; pkg/controller/certificates/cleaner (the time).
"""

from datetime import datetime, timedelta

from minikube_py import clock
from minikube_py.controllers.expiry import Expiry
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR

KEPT = timedelta(minutes=15)


class PodCertificateRequestCleaner(Expiry):
    name = "podcertificaterequest-cleaner"
    user = "podcertificaterequestcleaner"
    resource = GVR("certificates.k8s.io", "v1", "podcertificaterequests")

    def end_of(self, obj: Object) -> datetime:
        return clock.parse(obj["metadata"]["creationTimestamp"]) + KEPT
