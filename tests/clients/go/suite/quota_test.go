package suite

import (
	"context"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const dongle = corev1.ResourceName("example.com/dongle")

// amounts reads "cpu=1 memory=500Mi".
func amounts(text string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for _, field := range strings.Fields(text) {
		name, value, _ := strings.Cut(field, "=")
		list[corev1.ResourceName(name)] = resource.MustParse(value)
	}
	return list
}

const hardLimits = "pods=5 services=10 services.nodeports=1 services.loadbalancers=1 replicationcontrollers=10 resourcequotas=1 " +
	"cpu=1 memory=500Mi configmaps=10 secrets=10 persistentvolumeclaims=10 requests.storage=10Gi requests.ephemeral-storage=50Gi " +
	"gold.storageclass.storage.k8s.io/persistentvolumeclaims=10 gold.storageclass.storage.k8s.io/requests.storage=10Gi " +
	"requests.example.com/dongle=3 count/replicasets.apps=5"

func quota(name, hard string, scopes ...corev1.ResourceQuotaScope) *corev1.ResourceQuota {
	return &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ResourceQuotaSpec{Hard: amounts(hard), Scopes: scopes}}
}

func makeQuota(t *testing.T, namespace string, wanted *corev1.ResourceQuota) {
	t.Helper()
	_, err := typed.CoreV1().ResourceQuotas(namespace).Create(t.Context(), wanted, metav1.CreateOptions{})
	must(t, err)
}

func uses(t *testing.T, namespace, name, wanted string) {
	t.Helper()
	last := ""
	defer func() {
		if t.Failed() {
			t.Logf("%s uses %s, not %s", name, last, wanted)
		}
	}()
	eventually(t, "quota "+name+" uses "+wanted, func(ctx context.Context) (bool, error) {
		read, err := typed.CoreV1().ResourceQuotas(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		last = fmt.Sprint(read.Status.Used)
		if len(read.Status.Hard) != len(read.Spec.Hard) {
			return false, nil
		}
		for resourceName, amount := range amounts(wanted) {
			used, known := read.Status.Used[resourceName]
			if !known || used.Cmp(amount) != 0 {
				return false, nil
			}
		}
		return true, nil
	})
}

func podThat(name, requests, limits string, more ...func(*corev1.PodSpec)) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"name": name}}, Spec: corev1.PodSpec{
		NodeSelector: map[string]string{"x-test.k8s.io/unsatisfiable": "not-schedulable"},
		Containers: []corev1.Container{{Name: "pause", Image: "pause", Resources: corev1.ResourceRequirements{
			Requests: amounts(requests), Limits: amounts(limits)}}},
	}}
	for _, change := range more {
		change(&pod.Spec)
	}
	return pod
}

func makePod(t *testing.T, namespace string, pod *corev1.Pod) error {
	t.Helper()
	_, err := typed.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	return err
}

func deletePod(t *testing.T, namespace, name string) {
	t.Helper()
	must(t, typed.CoreV1().Pods(namespace).Delete(t.Context(), name, *metav1.NewDeleteOptions(0)))
}

func exceeds(t *testing.T, err error, text string) {
	t.Helper()
	check(t, apierrors.IsForbidden(err), "not forbidden: %v", err)
	says(t, err, text)
}

func TestQuotaServices(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	makeQuota(t, namespace, quota("q", hardLimits))
	uses(t, namespace, "q", "resourcequotas=1 services=0 services.nodeports=0 secrets=0 configmaps=1")
	service := func(name string, kind corev1.ServiceType) error {
		_, err := typed.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.ServiceSpec{Type: kind, Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
		return err
	}
	must(t, service("plain", corev1.ServiceTypeClusterIP))
	must(t, service("open", corev1.ServiceTypeNodePort))
	exceeds(t, service("balanced", corev1.ServiceTypeLoadBalancer),
		`services "balanced" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1`)
	uses(t, namespace, "q", "services=2 services.nodeports=1 services.loadbalancers=0")
	must(t, typed.CoreV1().Services(namespace).Delete(t.Context(), "plain", metav1.DeleteOptions{}))
	must(t, typed.CoreV1().Services(namespace).Delete(t.Context(), "open", metav1.DeleteOptions{}))
	uses(t, namespace, "q", "services=0 services.nodeports=0")
}

func TestQuotaObjects(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	makeQuota(t, namespace, quota("q", hardLimits))
	uses(t, namespace, "q", "resourcequotas=1")
	ctx := t.Context()
	core := typed.CoreV1()
	_, err := core.Secrets(namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}}, metav1.CreateOptions{})
	must(t, err)
	_, err = core.ConfigMaps(namespace).Create(ctx, configMap("c", nil), metav1.CreateOptions{})
	must(t, err)
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: podThat("x", "", "").Spec}
	_, err = core.ReplicationControllers(namespace).Create(ctx, &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: "rc"},
		Spec: corev1.ReplicationControllerSpec{Replicas: pointer(int32(0)), Selector: map[string]string{"a": "b"}, Template: &template}}, metav1.CreateOptions{})
	must(t, err)
	_, err = typed.AppsV1().ReplicaSets(namespace).Create(ctx, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "rs"},
		Spec: appsv1.ReplicaSetSpec{Replicas: pointer(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}, Template: template}}, metav1.CreateOptions{})
	must(t, err)
	_, err = core.PersistentVolumeClaims(namespace).Create(ctx, &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "pvc"},
		Spec: corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: pointer("gold"),
			Resources: corev1.VolumeResourceRequirements{Requests: amounts("storage=1Gi")}}}, metav1.CreateOptions{})
	must(t, err)
	uses(t, namespace, "q", "secrets=1 configmaps=2 replicationcontrollers=1 count/replicasets.apps=1 persistentvolumeclaims=1 requests.storage=1Gi "+
		"gold.storageclass.storage.k8s.io/persistentvolumeclaims=1 gold.storageclass.storage.k8s.io/requests.storage=1Gi")
	must(t, core.Secrets(namespace).Delete(ctx, "s", metav1.DeleteOptions{}))
	must(t, core.ConfigMaps(namespace).Delete(ctx, "c", metav1.DeleteOptions{}))
	must(t, core.ReplicationControllers(namespace).Delete(ctx, "rc", metav1.DeleteOptions{}))
	must(t, typed.AppsV1().ReplicaSets(namespace).Delete(ctx, "rs", metav1.DeleteOptions{}))
	must(t, core.PersistentVolumeClaims(namespace).Delete(ctx, "pvc", metav1.DeleteOptions{}))
	uses(t, namespace, "q", "secrets=0 configmaps=1 replicationcontrollers=0 count/replicasets.apps=0 persistentvolumeclaims=0 requests.storage=0")
}

func TestQuotaPods(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	makeQuota(t, namespace, quota("q", hardLimits))
	uses(t, namespace, "q", "resourcequotas=1 pods=0 cpu=0")
	fits := "cpu=500m memory=252Mi ephemeral-storage=30Gi example.com/dongle=2"
	must(t, makePod(t, namespace, podThat("pod", fits, "example.com/dongle=2")))
	used := "pods=1 cpu=500m memory=252Mi requests.ephemeral-storage=30Gi requests.example.com/dongle=2"
	uses(t, namespace, "q", used)
	exceeds(t, makePod(t, namespace, podThat("more", "cpu=600m memory=100Mi", "")),
		`pods "more" is forbidden: exceeded quota: q, requested: cpu=600m, used: cpu=500m, limited: cpu=1`)
	exceeds(t, makePod(t, namespace, podThat("dongles", "cpu=500m memory=100Mi ephemeral-storage=10Gi example.com/dongle=2", "example.com/dongle=2")),
		"requested: requests.example.com/dongle=2, used: requests.example.com/dongle=2, limited: requests.example.com/dongle=3")
	exceeds(t, makePod(t, namespace, podThat("mute", "", "")), "failed quota: q: must specify cpu for: pause; memory for: pause")
	read, err := typed.CoreV1().Pods(namespace).Get(t.Context(), "pod", metav1.GetOptions{})
	must(t, err)
	read.Spec.Containers[0].Resources.Requests = amounts("cpu=100m memory=100Mi ephemeral-storage=10Gi")
	_, err = typed.CoreV1().Pods(namespace).Update(t.Context(), read, metav1.UpdateOptions{})
	check(t, err != nil, "requests were changed")
	uses(t, namespace, "q", used)
	deletePod(t, namespace, "pod")
	uses(t, namespace, "q", "pods=0 cpu=0 memory=0 requests.ephemeral-storage=0 requests.example.com/dongle=0")
}

func TestQuotaScopesOfTime(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	hard := "pods=5 requests.cpu=1 requests.memory=500Mi limits.cpu=2 limits.memory=1Gi"
	makeQuota(t, namespace, quota("terminating", hard, corev1.ResourceQuotaScopeTerminating))
	makeQuota(t, namespace, quota("lasting", hard, corev1.ResourceQuotaScopeNotTerminating))
	uses(t, namespace, "terminating", "pods=0")
	uses(t, namespace, "lasting", "pods=0")
	must(t, makePod(t, namespace, podThat("long", "cpu=500m memory=200Mi", "cpu=1 memory=400Mi")))
	uses(t, namespace, "lasting", "pods=1 requests.cpu=500m requests.memory=200Mi limits.cpu=1 limits.memory=400Mi")
	uses(t, namespace, "terminating", "pods=0 requests.cpu=0")
	deletePod(t, namespace, "long")
	uses(t, namespace, "lasting", "pods=0 limits.cpu=0")
	short := func(spec *corev1.PodSpec) { spec.ActiveDeadlineSeconds = pointer(int64(3600)) }
	must(t, makePod(t, namespace, podThat("short", "cpu=500m memory=200Mi", "cpu=1 memory=400Mi", short)))
	uses(t, namespace, "terminating", "pods=1 requests.cpu=500m limits.memory=400Mi")
	uses(t, namespace, "lasting", "pods=0")
	deletePod(t, namespace, "short")
	uses(t, namespace, "terminating", "pods=0 limits.memory=0")
}

func TestQuotaScopesOfQuality(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	makeQuota(t, namespace, quota("best", "pods=5", corev1.ResourceQuotaScopeBestEffort))
	makeQuota(t, namespace, quota("better", "pods=5", corev1.ResourceQuotaScopeNotBestEffort))
	uses(t, namespace, "best", "pods=0")
	uses(t, namespace, "better", "pods=0")
	must(t, makePod(t, namespace, podThat("a", "", "")))
	uses(t, namespace, "best", "pods=1")
	uses(t, namespace, "better", "pods=0")
	deletePod(t, namespace, "a")
	uses(t, namespace, "best", "pods=0")
	must(t, makePod(t, namespace, podThat("b", "cpu=500m memory=200Mi", "cpu=1 memory=400Mi")))
	uses(t, namespace, "better", "pods=1")
	uses(t, namespace, "best", "pods=0")
	deletePod(t, namespace, "b")
	uses(t, namespace, "better", "pods=0")
	_, err := typed.CoreV1().ResourceQuotas(namespace).Create(t.Context(), quota("wrong", "pods=1 cpu=1", corev1.ResourceQuotaScopeBestEffort), metav1.CreateOptions{})
	check(t, apierrors.IsInvalid(err), "BestEffort with cpu: %v", err)
}

func TestQuotaScopesOfPriority(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	high := unique("high-")
	_, err := typed.SchedulingV1().PriorityClasses().Create(t.Context(), &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: high}, Value: 1000}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		_ = typed.SchedulingV1().PriorityClasses().Delete(context.Background(), high, metav1.DeleteOptions{})
	})
	scoped := quota("q", "pods=1")
	scoped.Spec.ScopeSelector = &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{
		{ScopeName: corev1.ResourceQuotaScopePriorityClass, Operator: corev1.ScopeSelectorOpIn, Values: []string{high}}}}
	makeQuota(t, namespace, scoped)
	uses(t, namespace, "q", "pods=0")
	classed := func(spec *corev1.PodSpec) { spec.PriorityClassName = high }
	must(t, makePod(t, namespace, podThat("plain", "", "")))
	must(t, makePod(t, namespace, podThat("a", "", "", classed)))
	uses(t, namespace, "q", "pods=1")
	exceeds(t, makePod(t, namespace, podThat("b", "", "", classed)), "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1")
}

func TestQuotaChanges(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().ResourceQuotas(namespace)
	makeQuota(t, namespace, quota("q", "cpu=1 memory=500Mi"))
	read, err := client.Get(t.Context(), "q", metav1.GetOptions{})
	must(t, err)
	read.Spec.Hard = amounts("cpu=2 memory=1Gi")
	_, err = client.Update(t.Context(), read, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) { // the controller had written its status
		_, err = client.Patch(t.Context(), "q", types.MergePatchType, []byte(`{"spec":{"hard":{"cpu":"2","memory":"1Gi"}}}`), metav1.PatchOptions{})
	}
	must(t, err)
	uses(t, namespace, "q", "cpu=0 memory=0")
	must(t, client.Delete(t.Context(), "q", metav1.DeleteOptions{}))
	_, err = client.Get(t.Context(), "q", metav1.GetOptions{})
	check(t, apierrors.IsNotFound(err), "after deletion: %v", err)
}

// A status that a client writes is put right again by the controller.
func TestQuotaStatus(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().ResourceQuotas(namespace)
	makeQuota(t, namespace, quota("q", "cpu=500m memory=500Mi"))
	uses(t, namespace, "q", "cpu=0")
	patched, err := client.Patch(t.Context(), "q", types.MergePatchType, []byte(`{"status":{"hard":{"memory":"1Gi","cpu":"1"}}}`), metav1.PatchOptions{}, "status")
	must(t, err)
	memory := patched.Status.Hard[corev1.ResourceMemory]
	equal(t, "patched", memory.String(), "1Gi")
	spec := patched.Spec.Hard[corev1.ResourceMemory]
	equal(t, "spec", spec.String(), "500Mi")
	eventually(t, "the status is put right", func(ctx context.Context) (bool, error) {
		read, err := client.Get(ctx, "q", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		memory := read.Status.Hard[corev1.ResourceMemory]
		return memory.String() == "500Mi", nil
	})
}

// LimitRange: defaults, minimum and maximum, changed and removed limits.
func TestQuotaLimitRange(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().LimitRanges(namespace)
	limits := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "l"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypeContainer, Min: amounts("cpu=50m memory=100Mi ephemeral-storage=100Gi"), Max: amounts("cpu=500m memory=500Mi ephemeral-storage=500Gi"),
		Default: amounts("cpu=500m memory=500Mi ephemeral-storage=500Gi"), DefaultRequest: amounts("cpu=100m memory=200Mi ephemeral-storage=200Gi"),
	}}}}
	_, err := client.Create(t.Context(), limits, metav1.CreateOptions{})
	must(t, err)
	resources := func(pod *corev1.Pod) string {
		made, err := typed.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{})
		must(t, err)
		found := made.Spec.Containers[0].Resources
		return fmt.Sprint(found.Requests.Cpu(), found.Requests.Memory(), found.Requests.StorageEphemeral(), found.Limits.Cpu(), found.Limits.Memory(), found.Limits.StorageEphemeral())
	}
	equal(t, "defaults", resources(podThat("none", "", "")), "100m 200Mi 200Gi 500m 500Mi 500Gi")
	equal(t, "partly given", resources(podThat("part", "cpu=300m memory=150Mi", "cpu=300m")), "300m 150Mi 200Gi 300m 500Mi 500Gi")
	exceeds(t, makePod(t, namespace, podThat("low", "cpu=10m memory=50Mi ephemeral-storage=50Gi", "")), "minimum cpu usage per Container is 50m, but request is 10m")
	exceeds(t, makePod(t, namespace, podThat("high", "", "cpu=600m memory=600Mi ephemeral-storage=600Gi")), "maximum cpu usage per Container is 500m, but limit is 600m")
	_, err = client.Patch(t.Context(), "l", types.StrategicMergePatchType, []byte(`{"spec":{"limits":[{"type":"Container","min":{"cpu":"9m","memory":"49Mi","ephemeral-storage":"49Gi"}}]}}`), metav1.PatchOptions{})
	must(t, err)
	must(t, makePod(t, namespace, podThat("low", "cpu=10m memory=50Mi ephemeral-storage=50Gi", "")))
	must(t, client.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}))
	must(t, makePod(t, namespace, podThat("high", "", "cpu=600m memory=600Mi ephemeral-storage=600Gi")))
}
