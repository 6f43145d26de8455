"""Every kind of volume that the node can mount, by the field of spec.volumes that asks for it."""

from minikube_py.kubelet.volumes.claim import ClaimVolume, EphemeralVolume
from minikube_py.kubelet.volumes.config_map import ConfigMapVolume
from minikube_py.kubelet.volumes.downward import DownwardVolume
from minikube_py.kubelet.volumes.empty_dir import EmptyDirVolume
from minikube_py.kubelet.volumes.host_path import HostPathVolume
from minikube_py.kubelet.volumes.image import ImageVolume
from minikube_py.kubelet.volumes.projected import ProjectedVolume
from minikube_py.kubelet.volumes.protocol import VolumeSource
from minikube_py.kubelet.volumes.secret import SecretVolume

VOLUME_SOURCES: dict[str, VolumeSource] = {
    "configMap": ConfigMapVolume(),
    "secret": SecretVolume(),
    "projected": ProjectedVolume(),
    "downwardAPI": DownwardVolume(),
    "emptyDir": EmptyDirVolume(),
    "hostPath": HostPathVolume(),
    "persistentVolumeClaim": ClaimVolume(),
    "ephemeral": EphemeralVolume(),
    "image": ImageVolume(),
}
